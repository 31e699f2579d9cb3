// What the page knows of the node: the last snapshot, brought up to date by deltas and events. Views only read it.
import { clean } from './format.js'

const mostEvents = 200, mostAttempts = 512, mostNames = 5000

export const state = {
  boot: '',         // of the node's start
  status: null,     // as in /v1/status; null before the first snapshot
  peers: new Map(), // links by node id; upAt is when it came up, in the page's clock
  names: new Map(), // of peers that were linked once
  dialing: [],      // dials in flight
  attempts: [],     // oldest first
  events: [],       // oldest first
  traffic: null,    // as in /v1/traffic
  skew: 0,          // the node's clock less ours, in ms
  word: 0,          // when the node last said anything, in our clock
}

const watchers = new Set()
let asked = false

// watch calls fn after changes, at most once a frame and never while the page is hidden.
export const watch = fn => watchers.add(fn)
export function changed() {
  if (asked) return
  asked = true
  const draw = () => {
    asked = false
    for (const fn of watchers) fn()
  }
  if (document.hidden) document.addEventListener('visibilitychange', draw, { once: true })
  else requestAnimationFrame(draw)
}

export const now = () => Date.now() + state.skew
export const name = p => clean(p.moniker || '') || clean((p.version || '').split(' ')[0]) || p.node_id.slice(0, 8)
export const up = p => (Date.now() - p.upAt) / 1000
export const age = () => state.status ? state.status.uptime_s + (Date.now() - state.statusAt) / 1000 : 0

// count counts links of a direction.
export function count(direction) {
  let n = 0
  for (const p of state.peers.values()) if (p.direction === direction) n++
  return n
}

function mergePeer(p) {
  const had = state.peers.get(p.node_id) || {}
  const next = Object.assign(had, p), since = Date.parse(p.since)
  if (since) next.upAt = since - state.skew
  else if (p.connected_s !== undefined || !next.upAt) next.upAt = Date.now() - 1000 * (p.connected_s || 0)
  if (state.names.size > mostNames) state.names.clear()
  state.names.set(p.node_id, name(next))
  next.kind ||= next.transport === 'quic' ? 'quic' : next.wire
  next.stages ||= []
  state.peers.set(p.node_id, next)
}

function mergeBySeq(list, more, most) {
  if (!more || !more.length) return list
  const last = list.length ? list[list.length - 1].seq : -1
  return list.concat(more.filter(e => e.seq > last)).slice(-most)
}

function mergeStatus(status) {
  state.status = Object.assign(state.status || {}, status)
  if (status.uptime_s !== undefined) state.statusAt = Date.now()
}

export function snapshot(m) {
  state.boot = m.boot_id
  state.status = null
  mergeStatus(m.status)
  const before = state.peers
  state.peers = new Map()
  for (const p of m.peers || []) {
    if (before.has(p.node_id)) state.peers.set(p.node_id, before.get(p.node_id))
    mergePeer(p)
  }
  state.dialing = m.dials?.dialing || []
  state.attempts = mergeBySeq([], m.dials?.attempts, mostAttempts)
  state.events = mergeBySeq([], m.events, mostEvents)
  if (m.traffic) setTraffic(m.traffic)
  changed()
}

export function delta(m) {
  if (!state.status) return
  if (m.status) mergeStatus(m.status)
  for (const p of m.peers || []) mergePeer(p)
  for (const id of m.gone || []) state.peers.delete(id)
  if (m.dialing) state.dialing = m.dialing
  state.attempts = mergeBySeq(state.attempts, m.attempts, mostAttempts)
  if (m.traffic) addTraffic(m.traffic)
  changed()
}

export function event(m) {
  state.events = mergeBySeq(state.events, [m], mostEvents)
  changed()
}

// older puts the attempts that a snapshot leaves out before those that it has.
export function older(attempts) {
  const first = state.attempts.length ? state.attempts[0].seq : Infinity
  state.attempts = attempts.filter(a => a.seq < first).concat(state.attempts).slice(-mostAttempts)
  changed()
}

export function setTraffic(t) {
  state.traffic = t
  t.last = Date.parse(t.from) / 1000 + t.step_s * Math.max(0, points(t) - 1)
  changed()
}

export const points = t => Math.max(0, ...(t.channels || []).map(c => (c.receive || []).length))

// addTraffic appends one step to each channel. A channel that is new has sent nothing before.
function addTraffic(step) {
  const t = state.traffic
  if (!t) return
  const n = points(t), news = new Map((step.channels || []).map(c => [c.id, c]))
  for (const id of news.keys()) {
    if (t.channels.some(c => c.id === id)) continue
    t.unknown = true // its name is in /v1/traffic
    t.channels.push({ id, name: '', receive: new Array(n).fill(0), send: new Array(n).fill(0) })
  }
  for (const c of t.channels) {
    const d = news.get(c.id) || {}
    c.receive.push(d.receive || 0)
    c.send.push(d.send || 0)
    c.receive_rate = d.receive || 0
    c.send_rate = d.send || 0
    c.queued_bytes = d.queued_bytes ?? c.queued_bytes
    c.dropped = d.dropped ?? c.dropped
    if (c.receive.length > 180) c.receive.shift()
    if (c.send.length > 180) c.send.shift()
  }
  t.last = step.time ? Date.parse(step.time) / 1000 : t.last + t.step_s
}

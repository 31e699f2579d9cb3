// The drawer: one peer, with the reason why it is kept, its handshake stage by stage, and what can be done about it.
import { $, h, set, put, width, wire, copy } from './dom.js'
import { state, name, up } from './state.js'
import { clock, number, rate, rtt, size, span, took } from './format.js'
import { askBan, askDisconnect, askForget } from './ask.js'
import { ticker } from './overview.js'

const narrow = matchMedia('(max-width: 760px)')
let open = '', peer = null, opener = null, write = null

export const opened = () => open

// show opens the drawer for a peer; closed is called when it is shut.
export function show(id, closed) {
  const p = state.peers.get(id)
  if (!p) return
  if (!open) opener = document.activeElement
  open = id
  peer = p
  write = fill($('drawer'), p, closed)
  $('drawer').hidden = false
  $('drawer').scrollTop = 0
  shade()
  update()
  $('drawer').querySelector('h2').focus({ preventScroll: true })
}

export function shut() {
  if (!open) return
  open = ''
  peer = write = null
  $('drawer').hidden = true
  shade()
  if (opener?.isConnected) opener.focus({ preventScroll: true })
}

// On a phone the drawer covers the page: what is behind it cannot be reached.
function shade() {
  for (const e of document.querySelectorAll('header, nav, main')) e.inert = open !== '' && narrow.matches
}
narrow.addEventListener('change', shade)

export function update() {
  if (!write) return
  peer = state.peers.get(open) || peer
  write(peer, state.peers.has(open))
}

const parts = ['kept', 'guest', 'version', 'up', 'rtt', 'rates', 'sent', 'received', 'dropped', 'score', 'direction',
  'stack']
const term = (text, ...value) => [h('dt', {}, text), h('dd', {}, value)]

function fill(drawer, p, closed) {
  const live = {}
  for (const k of parts) live[k] = h('span')
  const title = h('h2', { tabindex: -1 }), kind = h('div'), address = h('dd'), falls = h('div'), total = h('h3')
  const gone = h('div', { class: 'call', role: 'status', hidden: true })
  const disconnect = h('button', { class: 'act', onclick: () => askDisconnect(peer) }, 'Disconnect')
  const list = h('ol', { class: 'ticker' }), quiet = h('p', { class: 'note' }, 'No events kept of it.')
  drawer.replaceChildren(
    h('div', { class: 'top' }, title, h('button', { class: 'icon', 'aria-label': 'Close', onclick: closed }, '✕')),
    kind, gone, h('div', { class: 'call' }, 'Kept because: ', h('b', {}, live.kept), live.guest),
    h('h3', {}, 'Identity'), h('dl', {}, term('Node id', copy(p.node_id, 'Node id')),
      term('Peer id', copy(p.peer_id, 'Peer id')), h('dt', {}, 'Address'), address, term('Version', live.version)),
    total, falls,
    h('h3', {}, 'Link'), h('dl', {}, term('Stack', live.stack), term('Direction', live.direction), term('Up', live.up),
      term('Round trip', live.rtt), term('In / out', live.rates), term('Received', live.received),
      term('Sent', live.sent), term('Dropped', live.dropped), term('Score', live.score)),
    h('div', { class: 'row' }, disconnect,
      h('button', { class: 'act', onclick: () => askForget(peer.node_id, name(peer)) }, 'Forget…'),
      h('button', { class: 'act danger', onclick: () => askBan(peer) }, 'Ban…')),
    h('h3', {}, 'Events'), list)

  let told = '', stages = ''
  return (p, linked) => {
    set(title, name(p))
    const limits = state.status?.limits ?? {}
    const most = (p.direction === 'outbound' ? limits.dialed_guests : limits.guests) ?? 'the'
    const dropped = (p.send_dropped || 0) + (p.receive_dropped || 0)
    const texts = {
      kept: p.kept || 'not told', version: p.version || 'not told', up: span(up(p)), rtt: rtt(p.rtt_ms),
      guest: p.guest ? `. It said no network, so it counts as one of ${most} guests.` : '.',
      stack: [p.transport, p.security, p.muxer].join(' · '), direction: p.direction,
      rates: `${rate(p.receive_rate)} / ${rate(p.send_rate)}`, score: `${p.score} of 100`,
      received: `${size(p.received_bytes)}, ${number(p.received_messages)} messages`,
      sent: `${size(p.sent_bytes)}, ${number(p.sent_messages)} messages`, dropped: number(dropped),
    }
    if (linked) for (const [k, v] of Object.entries(texts)) set(live[k], v)
    if (told !== p.kind + p.address) {
      told = p.kind + p.address
      kind.replaceChildren(wire(p.kind))
      address.replaceChildren(copy(p.address, 'Address'))
    }
    const now = JSON.stringify(p.stages)
    if (stages !== now) {
      stages = now
      waterfall(falls, total, p)
    }
    if (linked) gone.hidden = true
    else if (gone.hidden) {
      gone.hidden = false
      set(gone, `This link ended at ${clock(Date.now())}. What you see is its last state.`)
    }
    disconnect.disabled = !linked
    ticker(list, drawer, quiet, state.events.filter(e => e.node_id === p.node_id))
  }
}

// waterfall draws the stages of the handshake one after another.
function waterfall(falls, head, p) {
  const total = p.stages.reduce((n, s) => n + s.ms, 0)
  set(head, p.stages.length ? `Handshake, ${total.toFixed(1)} ms` : 'Handshake')
  put(falls, 'class', 'falls ' + p.kind)
  let at = 0
  falls.replaceChildren(...(p.stages.length ? p.stages : []).flatMap(({ name, ms }) => {
    const bar = h('i'), fall = h('div', { class: 'fall' }, ms > 0 && bar)
    bar.style.left = (total ? 100 * at / total : 0).toFixed(1) + '%'
    width(bar, total ? 100 * ms / total : 0)
    at += ms
    return [h('span', {}, name), fall, h('span', {}, ms ? took(ms) : 'with it')]
  }))
  if (!p.stages.length) falls.append(h('span', {}, 'not measured'))
}

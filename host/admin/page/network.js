// The picture of a whole network that runs on one machine: the nodes of a demo on a ring, and the links among them.
// The node asks its demo (/v1/services/demo/network); a node of any other network knows its own links alone.
import { h, s, put, set, flag, keyed, kinds, labels, shapes } from './dom.js'
import { state, changed } from './state.js'
import { number, rate } from './format.js'
import { get } from './act.js'

const again = 1000 // ms between two looks
const mostTold = 8, mostMissing = 24, mostFlows = 60, fewLabels = 24
const frame = 125, pace = 8, period = 63 // of what flows, as in yard.js

const speaking = { comet: 'comet', 'libp2p tcp': 'libp2p', QUIC: 'quic' } // of nodes; all else is several
const wires = { comet: 'comet', libp2p: 'libp2p', QUIC: 'quic' }
const spoken = { comet: 'comet', libp2p: 'libp2p over TCP', quic: 'libp2p over QUIC', all: 'every wire' }
const called = n => 'demo-' + n.number
const flow = l => l.in + l.out
const many = (n, what) => `${number(n)} ${what}${n === 1 ? '' : 's'}`

// mayShow reports whether this node is one of a demo.
export const mayShow = () => (state.status?.services || []).includes('demo')

export const legendAll = () => h('span', {}, s('svg', { class: 'g', viewBox: '0 0 10 10', 'aria-hidden': true },
  s('circle', { class: 'self', cx: 5, cy: 5, r: 4.5 })), 'every wire')

// network returns the picture, its update(width, height, open), and tally, which counts the links by wire.
export function network(show) {
  const missing = s('g'), lines = s('g'), dots = s('g')
  const hint = s('text', { class: 'empty', 'text-anchor': 'middle' })
  const svg = s('svg', { class: 'pic', role: 'group' }, missing, lines, dots, hint)
  const text = h('span')
  const peer = h('button', { class: 'act small', onclick: () => show(pinnedNode()?.node_id) }, 'Details')
  const page = h('a', { class: 'act small', target: '_blank', rel: 'noopener' }, 'Its page')
  const caption = h('div', { class: 'caption' }, text, ' ', peer, page)
  const pic = h('div', {}, svg, caption)
  const stop = new AbortController()
  let net = null, last = [0, 0, ''], asking = false, pinned = 0, over = 0

  async function ask() {
    if (asking || document.hidden || !pic.isConnected) return
    asking = true
    const got = await get('v1/services/demo/network', stop.signal)
    asking = false
    if (stop.signal.aborted || !got?.nodes) return
    net = read(got)
    changed()
  }
  const pinnedNode = () => net?.nodes.find(n => n.number === pinned)

  function update(W, height, open) {
    if (last[0] === 0) ask()
    last = [W, height, open]
    const H = W < 560 ? 400 : height - 66
    put(svg, 'viewBox', `0 0 ${W} ${H}`)
    put(svg, 'height', H)
    set(hint, net ? '' : 'Asking the demo…')
    put(hint, 'x', W / 2)
    put(hint, 'y', H / 2)
    if (!net) return tell()
    flag(svg, 'crowd', net.links.length > mostFlows)
    const at = place(net.nodes, W, H), lit = over || pinned
    put(svg, 'aria-label', `The demo's network: ${many(net.nodes.length, 'node')}, ${many(net.links.length, 'link')}`)
    const ends = (e, l) => put(e, 'd', chord(at.get(l.a), at.get(l.b), W, H))
    const key = l => l.a + '-' + l.b
    keyed(missing, net.missing.length > mostMissing ? [] : net.missing, key, () => s('path', {
      class: 'track trying', 'stroke-width': 1.2,
    }), (e, l) => {
      ends(e, l)
      put(e, 'class', 'track trying' + (lit && lit !== l.a && lit !== l.b ? ' dim' : ''))
    })
    keyed(lines, net.links, key, makeLink, (g, l) => {
      const { track, stream } = g.parts
      ends(track, l)
      const more = Math.max(0, Math.log10((flow(l) + 1) / 60))
      put(track, 'stroke-width', (net.links.length > mostFlows ? .7 + more * .4 : 1.2 + more * 1.15).toFixed(1))
      g.parts.busy = net.links.length <= mostFlows && flow(l) > 8000
      put(stream, 'd', g.parts.busy ? track.getAttribute('d') : '')
      put(g, 'class', l.kind + (!lit ? '' : lit === l.a || lit === l.b ? ' lit' : ' dim'))
    })
    keyed(dots, net.nodes, n => n.number, makeNode, (g, n) => drawNode(g, n, at.get(n.number), {
      W, lit, pinned, few: net.nodes.length <= fewLabels,
    }))
    tell()
  }

  function makeNode(n) {
    const ring = s('circle', { class: 'ring', r: 15 }), mark = s('path', { class: 'end', fill: 'currentColor' })
    const who = s('text', { class: 'halo' }), what = s('text', { class: 'halo rtt' }), title = s('title')
    const pin = () => {
      pinned = pinned === n.number ? 0 : n.number
      update(...last)
    }
    const hover = on => {
      over = on ? n.number : over === n.number ? 0 : over
      update(...last)
    }
    const g = s('g', {
      tabindex: 0, role: 'button', onclick: pin, onfocus: () => hover(true), onblur: () => hover(false),
      onpointerenter: e => e.pointerType === 'mouse' && hover(true), onpointerleave: () => hover(false),
      onkeydown: e => (e.key === 'Enter' || e.key === ' ') && (pin(), e.preventDefault()),
    }, ring, mark, title, who, ' ', what)
    g.parts = { ring, mark, who, what, title }
    return g
  }

  // tell writes the line below the picture: of the node that was chosen, or of the network.
  function tell() {
    const n = pinnedNode()
    set(text, !net ? '' : n ? story(n, net) : summary(net))
    peer.hidden = !n || !state.peers.has(n.node_id)
    page.hidden = !n || !n.page || n.node_id === state.status?.node_id || n.state !== 'running'
    if (!page.hidden) put(page, 'href', n.page)
  }

  let at = 0
  const still = matchMedia('(prefers-reduced-motion: reduce)')
  const flowing = setInterval(() => {
    if (document.hidden || document.body.classList.contains('stale') || still.matches || !pic.isConnected) return
    at = (at + pace) % period
    for (const { parts } of lines.children) if (parts.busy) parts.stream.style.strokeDashoffset = -at
  }, frame)
  const looking = setInterval(ask, again)
  return {
    pic, update,
    tally: () => net && Object.fromEntries(kinds.map(k => [k, net.links.filter(l => l.kind === k).length])),
    close() {
      clearInterval(flowing)
      clearInterval(looking)
      stop.abort()
    },
  }
}

// read takes each link once, from the node that dialed it.
function read(got) {
  const links = new Map(), missing = []
  for (const n of got.nodes) {
    n.kind = speaking[n.speaks] || 'all'
    n.up = []
    for (const k of n.links || []) {
      if (k.state === 'up') n.up.push(k)
      const a = Math.min(n.number, k.to), b = Math.max(n.number, k.to), key = a + '-' + b
      if (k.state === 'missing' && n.number < k.to) missing.push({ a, b })
      if (k.state === 'up' && (k.dialed || !links.has(key))) {
        links.set(key, { a, b, kind: wires[k.wire] || 'comet', in: k.in || 0, out: k.out || 0 })
      }
    }
  }
  return { ...got, links: [...links.values()], missing: missing.filter(m => !links.has(m.a + '-' + m.b)) }
}

// place puts the nodes on a ring, clockwise from the top.
function place(nodes, W, H) {
  const phone = W < 560, at = new Map()
  const rx = W / 2 - (phone ? 62 : 150), ry = H / 2 - (phone ? 50 : 58)
  nodes.forEach((n, i) => {
    const turn = 2 * Math.PI * i / nodes.length - Math.PI / 2
    const side = Math.cos(turn), up = Math.sin(turn)
    at.set(n.number, { x: W / 2 + rx * side, y: H / 2 + ry * up, side, up })
  })
  return at
}

// chord is a track between two nodes, bent towards the middle, so that those between neighbours are seen, too.
function chord(a, b, W, H) {
  const bend = .45, n = v => v.toFixed(1)
  const mx = W / 2 + ((a.x + b.x) / 2 - W / 2) * bend, my = H / 2 + ((a.y + b.y) / 2 - H / 2) * bend
  return `M${n(a.x)} ${n(a.y)}Q${n(mx)} ${n(my)} ${n(b.x)} ${n(b.y)}`
}

function makeLink() {
  const track = s('path', { class: 'track' }), stream = s('path', { class: 'flow' }), g = s('g', {}, track, stream)
  g.parts = { track, stream }
  return g
}

const circle = 'M5 0a5 5 0 100 10A5 5 0 105 0z'

function drawNode(g, n, { x, y, side, up }, { W, lit, pinned, few }) {
  const { ring, mark, who, what, title } = g.parts, phone = W < 560, runs = n.state === 'running'
  const own = n.node_id === state.status?.node_id
  put(g, 'class', `p ${n.kind} ${n.state}${own ? ' own' : ''}${lit === n.number ? ' on' : ''}`)
  put(g, 'aria-pressed', pinned === n.number)
  const label = called(n) + (own ? ' (this page)' : ''), has = runs ? many(n.up.length, 'link') : n.state
  put(g, 'aria-label', `${label} ${has}, speaks ${spoken[n.kind]}`)
  put(ring, 'cx', x.toFixed(1))
  put(ring, 'cy', y.toFixed(1))
  put(mark, 'd', shapes[n.kind] || circle)
  put(mark, 'transform', `translate(${(x - 8).toFixed(1)} ${(y - 8).toFixed(1)}) scale(1.6)`)
  set(title, `${label} speaks ${spoken[n.kind]}`)
  const middle = Math.abs(side) < .25, bare = phone || !few
  set(who, bare ? n.number : label)
  set(what, bare ? '' : has)
  const dx = bare ? 23 * side : middle ? 0 : Math.sign(side) * 21
  const dy = bare ? 23 * up + 4 : middle ? (up < 0 ? -35 : 29) : -2
  for (const [t, down] of [[who, 0], [what, 15]]) {
    put(t, 'x', (x + dx).toFixed(1))
    put(t, 'y', (y + dy + down).toFixed(1))
    put(t, 'text-anchor', bare || middle ? 'middle' : side < 0 ? 'end' : 'start')
  }
}

function summary(net) {
  const run = net.nodes.filter(n => n.state === 'running').length, formed = net.formed_ns / 1e9
  const up = `${run} of ${many(net.nodes.length, 'node')} run, ${number(net.links.length)} of ` +
    `${many(net.possible, 'possible link')} are up`
  const when = !(formed > 0) ? 'they are still finding each other' :
    `${net.all_linked ? 'all were linked' : 'each had the links that it wants'} after ${formed.toFixed(1)} s`
  const items = net.items?.sent ? ` Of ${many(net.items.sent, 'item')}, ${number(net.items.arrived)} of ` +
    `${number(net.items.expected)} deliveries have arrived.` : ''
  return `${up}; ${when}.${items} Choose a node to see its links.`
}

function story(n, net) {
  if (n.state !== 'running') {
    return `${called(n)} speaks ${spoken[n.kind]}. It ${n.state === 'stopped' ? 'has stopped' : 'starts'}.`
  }
  const list = some => {
    const names = some.slice(0, mostTold).map(k => `demo-${k.to} (${labels[wires[k.wire]] || k.wire})`)
    return names.join(', ') + (some.length > mostTold ? ` and ${some.length - mostTold} more` : '')
  }
  const out = n.up.filter(k => k.dialed), back = n.up.filter(k => !k.dialed)
  return `${called(n)} speaks ${spoken[n.kind]} and knows ${many(n.knows, 'node')} of ${net.nodes.length - 1}. ` +
    (out.length ? `It dialed ${list(out)}. ` : '') + (back.length ? `It was dialed by ${list(back)}. ` : '') +
    `In ${rate(n.in)}, out ${rate(n.out)}${n.rtt_ns ? `; an echo takes ${(n.rtt_ns / 1e6).toFixed(1)} ms` : ''}.`
}

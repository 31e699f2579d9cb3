// The picture of this node's links: inbound left, outbound right, one track each, thicker where more flows. Many fold
// to a ribbon for each wire.
import { s, set, put, keyed, kinds, labels, shapes } from './dom.js'
import { state, name } from './state.js'
import { rate, short, where } from './format.js'

const top = 40, mostDials = 6, roomKept = 10_000 // ms
const frame = 125, pace = 8, period = 63 // of what flows: ms, pixels a frame, and pixels between two dots (views.css)

const byKind = (a, b) => kinds.indexOf(a.kind) - kinds.indexOf(b.kind) || (a.node_id < b.node_id ? -1 : 1)
const flow = p => (p.receive_rate || 0) + (p.send_rate || 0)

// yard returns the picture's element and its update(width, height, open), which writes only what has changed.
export function yard(show, filter) {
  const heads = s('g'), left = s('g'), right = s('g'), ribbons = s('g'), tries = s('g')
  const box = s('rect', { class: 'yard', rx: 10 }), self = s('text', { 'text-anchor': 'middle', dy: 4 })
  const hint = s('text', { class: 'empty', 'text-anchor': 'middle' })
  const inbound = s('text', { class: 'side', y: 18, 'text-anchor': 'end' })
  const outbound = s('text', { class: 'side', y: 18 })
  heads.append(inbound, outbound)
  const pic = s('svg', { class: 'pic', role: 'group' }, heads, ribbons, left, right, tries, box, self, hint)
  const held = { n: 0, until: 0 } // places for dials, kept for a while so that tracks do not move with each one

  function update(W, height, open) {
    const phone = W < 560, ins = [], outs = []
    for (const p of state.peers.values()) (p.direction === 'inbound' ? ins : outs).push(p)
    ins.sort(byKind)
    outs.sort(byKind)
    const dials = state.dialing.filter(d => !d.inbound).slice(0, mostDials), t = Date.now()
    if (dials.length >= held.n || t > held.until) Object.assign(held, { n: dials.length, until: t + roomKept })
    const H = phone ? Math.max(400, Math.min(560, ins.length * 16 + 50)) : height
    const room = H - top - 16, lane = phone ? 108 : 190, cx = W / 2, half = phone ? 17 : 26
    const at = { W, H, room, lane, cx, half, phone, mid: top + room / 2, open }
    const folds = list => list.length * 11 >= room

    put(pic, 'viewBox', `0 0 ${W} ${H}`)
    put(pic, 'height', H)
    put(pic, 'aria-label', `${ins.length} inbound and ${outs.length} outbound links`)
    const limits = state.status?.limits
    set(inbound, `Inbound ${ins.length}` + (limits ? ` of ${limits.max_inbound}` : ''))
    set(outbound, `Outbound ${outs.length}` + (limits ? ` of ${limits.max_outbound}` : ''))
    put(inbound, 'x', lane + 5)
    put(outbound, 'x', W - lane - 5)

    const foldIn = folds(ins), foldOut = folds(outs)
    tracks(left, foldIn ? [] : ins, -1, 0, at)
    tracks(right, foldOut ? [] : outs, 1, held.n, at)
    keyed(ribbons, [...bands(foldIn ? ins : [], -1), ...bands(foldOut ? outs : [], 1)], b => b.key,
      b => makeBand(b, filter), (e, b) => drawBand(e, b, at))
    keyed(tries, foldOut ? [] : dials.map((d, i) => ({ d, i: outs.length + i, of: outs.length + held.n })),
      x => x.d.address + x.d.node_id, makeTry, (e, x) => drawTry(e, x, at))

    const most = Math.max(ins.length, outs.length + held.n, 1)
    const tall = foldIn || foldOut ? room * .6 + 28 : Math.min(room, Math.max(most * slot(most, at), 80) + 36)
    const frame = { x: cx - half, y: at.mid - tall / 2, width: 2 * half, height: tall }
    for (const [k, v] of Object.entries(frame)) put(box, k, v)
    const moniker = state.status?.moniker || ''
    set(self, moniker.length > 24 ? moniker.slice(0, 23) + '…' : moniker)
    put(self, 'x', cx)
    put(self, 'y', at.mid)
    put(self, 'transform', `rotate(-90 ${cx} ${at.mid})`)
    set(hint, ins.length + outs.length + dials.length ? '' : 'No links yet')
    put(hint, 'x', phone ? cx + 90 : cx + 120)
    put(hint, 'y', at.mid + 4)
  }

  function tracks(group, list, side, extra, at) {
    const of = list.length + extra
    keyed(group, list.map((p, i) => ({ p, i })), x => x.p.node_id, x => makeTrack(x.p, show),
      (e, x) => drawTrack(e, x.p, x.i, of, side, at))
  }

  // The dots of busy tracks move in steps: an animation of CSS paints 60 times a second, a third of a processor.
  let at = 0
  const timer = setInterval(() => {
    if (document.hidden || document.body.classList.contains('stale') || still.matches) return
    at = (at + pace) % period
    for (const [group, way] of [[left, -1], [right, 1]]) {
      for (const { parts } of group.children) if (parts.busy) parts.stream.style.strokeDashoffset = way * at
    }
  }, frame)
  return { pic, update, close: () => clearInterval(timer) }
}

const still = matchMedia('(prefers-reduced-motion: reduce)')

// slot is the distance of two of so many tracks where they enter the yard, spread that of their outer ends.
const slot = (of, at) => Math.min(7, at.room * .82 / of)
const spread = (i, of, at) => {
  const tall = Math.min(at.room, of * 34)
  return top + (at.room - tall) / 2 + (i + .5) * tall / of
}

function curve(x, y, sy, side, { cx, lane, half }) {
  const far = cx - lane, n = v => v.toFixed(1)
  return `M${n(x)} ${n(y)}C${n(x - side * far * .55)} ${n(y)} ${n(cx + side * (half + far * .4))} ${n(sy)} ` +
    `${n(cx + side * half)} ${n(sy)}`
}

function makeTrack(p, show) {
  const track = s('path', { class: 'track' }), stream = s('path', { class: 'flow' })
  const end = s('path', { class: 'end', fill: 'currentColor' }), title = s('title')
  const who = s('tspan'), rtt = s('tspan', { class: 'rtt', dx: 3 }), text = s('text', {}, who, ' ', rtt)
  const g = s('g', {
    tabindex: 0, role: 'button', onclick: () => show(p.node_id),
    onkeydown: e => (e.key === 'Enter' || e.key === ' ') && (show(p.node_id), e.preventDefault()),
  }, track, stream, end, title, text)
  g.parts = { track, stream, end, title, who, rtt, text }
  return g
}

function drawTrack(g, p, i, of, side, at) {
  const { track, stream, end, title, who, rtt, text } = g.parts
  const x = side < 0 ? at.lane : at.W - at.lane, y = spread(i, of, at), sy = at.mid + (i - (of - 1) / 2) * slot(of, at)
  const d = curve(x, y, sy, side, at), called = name(p)
  put(g, 'class', `p ${p.kind} ${p.direction === 'inbound' ? 'in' : 'out'}${at.open === p.node_id ? ' on' : ''}`)
  put(track, 'd', d)
  put(track, 'stroke-width', (1.2 + Math.max(0, Math.log10((flow(p) + 1) / 60)) * 1.15).toFixed(1))
  const busy = Math.max(p.receive_rate || 0, p.send_rate || 0) > 4000
  g.parts.busy = busy
  put(stream, 'd', busy ? d : '')
  put(end, 'd', shapes[p.kind] || shapes.comet)
  put(end, 'transform', `translate(${(x - 5).toFixed(1)} ${(y - 5).toFixed(1)})`)
  set(title, `${called} ${short(p.node_id)} ${where(p.address)}`)
  const most = at.phone ? 13 : 22
  set(who, called.length > most ? called.slice(0, most - 1) + '…' : called)
  const ms = p.rtt_ms
  set(rtt, !(ms > 0) ? '' : (ms < .05 ? '<0.1' : ms < 1 ? ms.toFixed(1) : ms.toFixed(0)) + ' ms')
  put(g, 'aria-label', `${text.textContent}, ${labels[p.kind] || p.kind}, ${p.direction}`)
  put(text, 'x', x + side * 12)
  put(text, 'y', (y + 4).toFixed(1))
  put(text, 'text-anchor', side < 0 ? 'end' : 'start')
}

// bands are the ribbons of one side: for each wire its share of the links, and what they carry.
function bands(list, side) {
  const out = []
  let from = 0
  for (const kind of kinds) {
    const of = list.filter(p => p.kind === kind)
    if (!of.length) continue
    const to = from + of.length / list.length
    const carried = of.reduce((n, p) => n + ((side < 0 ? p.receive_rate : p.send_rate) || 0), 0)
    out.push({ key: kind + side, kind, side, n: of.length, carried, from, to })
    from = to
  }
  return out
}

function makeBand(b, filter) {
  const area = s('path', { fill: 'currentColor', 'fill-opacity': .28 })
  const edge = s('path', { class: 'end', stroke: 'currentColor', 'stroke-width': 4, 'stroke-linecap': 'round' })
  const anchor = b.side < 0 ? 'end' : 'start'
  const many = s('text', { 'text-anchor': anchor }), much = s('text', { class: 'rtt', 'text-anchor': anchor })
  const open = () => filter(b.kind, b.side < 0 ? 'inbound' : 'outbound')
  const g = s('g', {
    class: 'p ' + b.kind, tabindex: 0, role: 'button', onclick: open,
    onkeydown: e => (e.key === 'Enter' || e.key === ' ') && (open(), e.preventDefault()),
  }, area, edge, many, ' ', much)
  g.parts = { area, edge, many, much }
  return g
}

function drawBand(g, b, at) {
  const { area, edge, many, much } = g.parts, side = b.side
  const y0 = top + b.from * at.room + 3, y1 = Math.max(y0 + 4, top + b.to * at.room - 3)
  const r0 = top + at.room * (.2 + .6 * b.from) + 1, r1 = top + at.room * (.2 + .6 * b.to) - 1
  const x = side < 0 ? at.lane : at.W - at.lane, e = at.cx + side * at.half, m = (x + e) / 2, mid = (y0 + y1) / 2
  put(area, 'd', `M${x} ${y0}C${m} ${y0} ${m} ${r0} ${e} ${r0}V${r1}C${m} ${r1} ${m} ${y1} ${x} ${y1}z`)
  put(edge, 'd', `M${x} ${y0}V${y1}`)
  set(many, `${b.n} ${labels[b.kind]}`)
  set(much, rate(b.carried))
  put(g, 'aria-label', `${many.textContent} ${much.textContent}: show these ${side < 0 ? 'inbound' : 'outbound'} links`)
  for (const [t, dy] of [[many, -2], [much, 14]]) {
    put(t, 'x', x + side * 12)
    put(t, 'y', mid + dy)
  }
}

function makeTry() {
  const track = s('path', { class: 'track trying', 'stroke-width': 1.4 }), spot = s('circle', { r: 4, class: 'spot' })
  const text = s('text', { class: 'side' }), title = s('title')
  const g = s('g', {}, track, spot, text, title)
  g.parts = { track, spot, text, title }
  return g
}

function drawTry(g, { d, i, of }, at) {
  const { track, spot, text, title } = g.parts
  const x = at.W - at.lane, y = spread(i, of, at), sy = at.mid + (i - (of - 1) / 2) * slot(of, at)
  put(track, 'd', curve(x, y, sy, 1, at))
  put(spot, 'cx', x)
  put(spot, 'cy', y)
  put(text, 'x', x + 12)
  put(text, 'y', y + 4)
  set(text, at.phone ? 'dialing' : 'dialing: ' + (d.stage || 'transport'))
  set(title, where(d.address))
}

// The overview answers "is it well?": the node's findings, its links as a picture, figures, and what happens.
import { h, set, put, width, keyed, slide, glyph, kinds, labels } from './dom.js'
import { state, count, now } from './state.js'
import { clock, number, short, size, took, where, words } from './format.js'
import { yard } from './yard.js'
import { map } from './map.js'
import { network, mayShow, legendAll } from './network.js'

const severities = { ok: 'All is well: ', info: 'Note: ', warn: 'Warning: ', bad: 'Bad: ' }
const rank = ['bad', 'warn', 'info', 'ok']
const mostFindings = 5

let picture = 'yard'

const rich = text => words(text).map(([kind, part]) =>
  kind === 'code' ? h('code', {}, part) : kind ? h('span', { class: kind }, part) : part)

export function overview(root, { show, filter }) {
  const box = h('div', { id: 'pic' }), pics = {}
  const names = [['yard', 'This node'], ['map', 'All it knows']]
  if (mayShow()) names.push(['network', 'Whole network'])
  else if (picture === 'network') picture = 'yard'
  const buttons = names.map(([k, text]) => h('button', {
    'aria-pressed': String(picture === k),
    onclick: () => {
      picture = k
      buttons.forEach((b, i) => put(b, 'aria-pressed', String(names[i][0] === k)))
      draw()
    },
  }, text))
  const legend = h('div', { class: 'legend' }), kindCounts = {}
  for (const k of kinds) {
    kindCounts[k] = h('span')
    legend.append(h('span', {}, glyph(k), kindCounts[k]))
  }
  const everyWire = legendAll()
  legend.append(everyWire, h('span', {}, 'thicker: more traffic'))

  const health = h('section', { class: 'card health', 'aria-label': 'Is it well?' })
  const tiles = Object.fromEntries([['inbound', 'Inbound', 1], ['outbound', 'Outbound', 1], ['received', 'Received'],
    ['sent', 'Sent'], ['known', 'Known'], ['refused', 'Refused']].map(([k, text, meter]) => [k, tile(text, meter)]))
  const list = h('ol', { class: 'ticker', 'aria-label': 'Latest events' })
  const tick = h('div', { class: 'tick', tabindex: 0, role: 'group', 'aria-label': 'Now' }, list)
  const quiet = h('p', { class: 'none' }, 'Nothing yet.')

  root.append(h('div', { class: 'grid' },
    h('div', { class: 'col' }, h('section', { class: 'card' },
      h('div', { class: 'bar' }, h('h2', {}, 'Links'),
        h('div', { class: 'seg', role: 'group', 'aria-label': 'Picture' }, buttons)), box, legend)),
    h('div', { class: 'col' }, health, h('section', { class: 'card tiles' }, Object.values(tiles).map(t => t.e)),
      h('section', { class: 'card' }, h('h2', {}, 'Now'), tick))))
  const resize = new ResizeObserver(draw)
  resize.observe(box)

  let opened = ''
  function draw() {
    const W = Math.max(320, box.clientWidth), H = Math.max(440, innerHeight - 232)
    pics[picture] ||= picture === 'yard' ? yard(show, filter) : picture === 'map' ? map(show) : network(show)
    const { pic, update } = pics[picture]
    if (box.firstChild !== pic) box.replaceChildren(pic)
    update(W, H, opened)
    everyWire.hidden = picture !== 'network'
    tally()
  }

  // tally counts the links of the picture by their wire.
  function tally() {
    const of = pics[picture]?.tally?.() || {}
    if (picture !== 'network') for (const p of state.peers.values()) of[p.kind] = (of[p.kind] || 0) + 1
    for (const k of kinds) set(kindCounts[k], `${labels[k]} ${of[k] || 0}`)
  }

  function figures() {
    const st = state.status, { limits, recent, rates, store } = st
    for (const [k, most] of [['inbound', limits?.max_inbound], ['outbound', limits?.max_outbound]]) {
      const n = count(k), t = tiles[k]
      set(t.value, n)
      set(t.more, most === undefined ? '' : 'of ' + most)
      width(t.part, most ? 100 * n / most : 0)
    }
    wide(tiles.received, size(rates?.receive), 'per s')
    wide(tiles.sent, size(rates?.send), 'per s')
    set(tiles.known.value, number(store.known))
    set(tiles.known.more, number(store.tried) + ' tried')
    set(tiles.refused.value, number(recent?.refused))
    set(tiles.refused.more, 'in 10 min')
  }

  function update(open) {
    opened = open
    if (!state.status) return
    verdict(health, state.status.findings || [])
    figures()
    ticker(list, tick, quiet, state.events)
    draw()
  }
  return {
    update,
    close() {
      resize.disconnect()
      for (const p of Object.values(pics)) p.close?.()
    },
  }
}

const upper = text => (text || '').slice(0, 1).toUpperCase() + (text || '').slice(1)

function tile(text, meter) {
  const value = h('b'), more = h('i'), part = h('div')
  const e = h('div', { class: 'tile' }, h('span', {}, text), value, ' ', more,
    meter && h('div', { class: 'meter' }, part))
  return { e, value, more, part }
}

// wide writes a figure that changes all the time. Its room grows and never shrinks, and what follows stays.
function wide({ value, more }, text, unit) {
  if (value.textContent === text) return
  set(value, text)
  const had = parseFloat(value.style.minWidth) || 0, now = value.getBoundingClientRect().width
  if (now <= had + .5) return
  value.style.minWidth = now.toFixed(1) + 'px'
  more.replaceChildren(unit)
}

// verdict shows the worst finding with its remedy, and the others below it.
function verdict(card, findings) {
  const said = JSON.stringify(findings)
  if (card.said === said) return
  card.said = said
  const sorted = [...findings].sort((a, b) => rank.indexOf(a.severity) - rank.indexOf(b.severity))
  const [first, ...rest] = sorted.length ? sorted : [{ severity: 'ok', text: 'The node runs', remedy: '' }]
  const shown = rest.slice(0, mostFindings)
  card.replaceChildren(h('i', { class: 'dot ' + first.severity }), h('div', {},
    h('span', { class: 'hear' }, severities[first.severity]), h('b', {}, upper(first.text)),
    first.remedy && h('p', {}, rich(upper(first.remedy))),
    shown.length > 0 && h('ul', { class: 'more' }, shown.map(f => h('li', {}, h('i', { class: 'dot ' + f.severity }),
      h('div', {}, h('span', { class: 'hear' }, severities[f.severity]), upper(f.text),
        f.remedy && h('small', {}, rich(upper(f.remedy)))))),
      rest.length > shown.length && h('li', {}, h('i'), h('div', {}, `and ${rest.length - shown.length} more`)))))
}

// ticker brings a list of events up to date, newest first.
export function ticker(list, scroller, quiet, events) {
  const said = `${events.length} ${events.at(-1)?.seq}`
  if (list.said === said) return
  list.said = said
  slide(list, scroller, () => keyed(list, [...events].reverse(), e => e.seq, e => {
    const [kind, label, text] = tell(e)
    return h('li', { class: kind }, h('time', { datetime: e.time }, clock(e.time)),
      h('div', {}, h('b', {}, label), ' ', h('span', {}, text)))
  }))
  if (!events.length && !quiet.parentNode) scroller.append(quiet)
  if (events.length) quiet.remove()
}

const grades = { 'peer-up': 'up', moved: 'up', 'peer-down': 'bad', 'dial-failed': 'bad', refused: 'warn', ban: 'warn' }

// tell says an event: how it is, its name, and its line. The name of a peer says more than its id.
export function tell(e) {
  const who = state.names.get(e.node_id) || short(e.node_id) || where(e.address), p = state.peers.get(e.node_id)
  const why = e.reason?.limit || e.reason?.text || '', at = where(e.address)
  const lines = {
    'peer-up': () => [who, p && labels[p.kind], e.duration_ms > 0 && 'in ' + took(e.duration_ms)],
    'peer-down': () => [who + (why ? ': ' + why : '')],
    'dial-failed': () => [`${at} ${e.stage ? e.stage + ': ' : ''}${why}`],
    refused: () => [at.replace(/:\d+$/, '') + ': ' + why],
    feeler: () => [at + ' works, moved to tried'],
    moved: () => [`${who} to ${/\/quic/.test(e.address) ? 'QUIC' : at}`],
    'move-failed': () => [`${who}: ${why}`],
  }
  const line = lines[e.kind] ? lines[e.kind]().filter(Boolean).join(', ') : e.text || `${who} ${why}`
  // a dial that was not needed, as the two are linked already, is no failure
  const kind = e.reason?.code === 'duplicate' ? '' : grades[e.kind] || (/failed$/.test(e.kind) ? 'bad' : '')
  return [kind, (e.kind || '').replaceAll('-', ' '), line]
}

export const recent = time => now() - Date.parse(time) < 600_000

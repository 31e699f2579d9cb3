// The links as a table: find, filter by wire, sort; each with the reason why it is kept.
import { h, set, put, width, flag, glyph, kinds, labels, wire } from './dom.js'
import { state, name, up } from './state.js'
import { rate, rtt, short, span } from './format.js'
import { rows } from './rows.js'

const columns = [['moniker', 'Peer', ''], ['kind', 'Wire', 'w-wire'], ['direction', 'Way', 'w-way less'],
  ['kept', 'Kept because', ''], ['up', 'Up', 'n w-up'], ['rtt_ms', 'Round trip', 'n w-rtt'],
  ['receive_rate', 'In', 'n w-in'], ['send_rate', 'Out', 'n w-out less'], ['score', 'Score', 'n w-score less']]
const restless = new Set(['rtt_ms', 'receive_rate', 'send_rate', 'score']) // they change all the time
const patience = 5000 // ms between two sorts by such a column

// What was chosen stays when the view is left.
const chosen = { sort: 'up', way: -1, kinds: new Set(), direction: '', words: '' }

// only shows the links of one wire and direction.
export function only(kind, direction) {
  Object.assign(chosen, { kinds: new Set([kind]), direction, words: '' })
}

const of = { moniker: name, up: p => -p.upAt, kind: p => kinds.indexOf(p.kind), kept: p => p.kept || '' }
const value = (p, k) => of[k] ? of[k](p) : p[k] ?? 0

function matches(p) {
  if (chosen.kinds.size && !chosen.kinds.has(p.kind)) return false
  if (chosen.direction && p.direction !== chosen.direction) return false
  if (!chosen.words) return true
  const text = [p.moniker, p.node_id, p.peer_id, p.ip, p.address, p.version, p.kept, p.network].join(' ').toLowerCase()
  return chosen.words.split(/\s+/).every(w => text.includes(w))
}

export function peers(root, { show }) {
  const body = h('tbody', { class: 'rows' }), tally = h('output', { class: 'n' })
  const heads = columns.map(([k, text, kind]) => h('th', { scope: 'col', class: kind }, h('button', {
    onclick: () => {
      const falls = kind.startsWith('n')
      chosen.way = chosen.sort === k ? -chosen.way : falls ? -1 : 1
      chosen.sort = k
      fill(true)
    },
  }, text)))
  const chips = kinds.map(k => h('button', {
    class: 'chip', 'aria-pressed': String(chosen.kinds.has(k)),
    onclick: e => {
      if (!chosen.kinds.delete(k)) chosen.kinds.add(k)
      put(e.currentTarget, 'aria-pressed', String(chosen.kinds.has(k)))
      fill(true)
    },
  }, glyph(k), labels[k]))
  const side = h('button', {
    class: 'chip', 'aria-pressed': 'true',
    onclick: () => {
      chosen.direction = ''
      fill(true)
      find.focus()
    },
  })
  const find = h('input', {
    id: 'find', type: 'search', placeholder: 'Name, id, IP, version, reason', 'aria-label': 'Find peers',
    autocomplete: 'off', spellcheck: 'false', value: chosen.words,
    oninput: e => {
      chosen.words = e.target.value.toLowerCase().trim()
      fill(true)
    },
    onkeydown: e => {
      if (e.key === 'ArrowDown') {
        table.focus()
        e.preventDefault()
      }
    },
  })
  root.append(h('div', { class: 'tools' }, find, chips, side, tally),
    h('div', { class: 'card scroll' }, h('table', { class: 'cards fixed', 'aria-label': 'Links' },
      h('thead', {}, h('tr', {}, heads)), body)))

  let opened = ''
  const table = rows(body, {
    key: p => p.node_id, make, open: p => show(p.node_id),
    update: (row, p) => write(row, p, opened),
    empty: () => state.peers.size ? 'No link matches.' : 'No links yet.',
  })

  let order = [], sorted = 0
  function fill(again) {
    const seen = [...state.peers.values()].filter(matches), { sort, way } = chosen
    const compare = (a, b) => {
      const x = value(a, sort), y = value(b, sort)
      const by = typeof x === 'string' ? x.localeCompare(y) : x < y ? -1 : x > y ? 1 : 0
      return (sort === 'up' ? -by : by) * (sort === 'up' ? -way : way) || (a.node_id < b.node_id ? -1 : 1)
    }
    const t = Date.now(), busy = body.matches(':hover') || body.contains(document.activeElement)
    if (again || !restless.has(sort) || t - sorted > patience && !busy) {
      order = seen.sort(compare)
      sorted = t
    } else { // keep the rows in place; those that are new come last
      const here = new Set(seen), had = new Set(order)
      order = order.filter(p => here.has(p)).concat(seen.filter(p => !had.has(p)).sort(compare))
    }
    columns.forEach(([k], i) => k === sort ? put(heads[i], 'aria-sort', way < 0 ? 'descending' : 'ascending') :
      heads[i].removeAttribute('aria-sort'))
    side.hidden = !chosen.direction
    set(side, chosen.direction + ' ✕')
    put(side, 'aria-label', `Only ${chosen.direction}: show both directions`)
    const n = state.peers.size
    set(tally, order.length === n ? `${n} ${n === 1 ? 'link' : 'links'}` : `${order.length} of ${n} links`)
    table.fill(order)
  }
  return {
    update(open) {
      opened = open
      fill(false)
    },
    close: table.close,
  }
}

function make(p) {
  const who = h('span'), kept = h('td', { class: 'why' }), bar = h('i')
  const cells = {
    who, id: h('span', { class: 'id' }, short(p.node_id)), wire: h('td', { class: 'r' }), kept, bar,
    way: h('td', { class: 'opt less' }), up: h('td', { class: 'n' }), rtt: h('td', { class: 'n opt' }), in: h('span'),
    rate: h('span', { class: 'rate' }, bar), out: h('td', { class: 'n opt less' }),
    score: h('td', { class: 'n opt less' }),
  }
  const row = h('tr', {}, h('td', { class: 'main' }, who, ' ', cells.id), cells.wire, cells.way, kept, cells.up,
    cells.rtt, h('td', { class: 'n opt' }, cells.in, cells.rate), cells.out, cells.score)
  row.cellsOf = cells
  return row
}

function write(row, p, open) {
  const c = row.cellsOf, called = name(p)
  set(c.who, called)
  if (c.kind !== p.kind) {
    c.kind = p.kind
    c.wire.replaceChildren(wire(p.kind))
    put(c.rate, 'class', 'rate ' + p.kind)
  }
  set(c.way, p.direction === 'inbound' ? 'in' : 'out')
  set(c.kept, p.kept || '')
  set(c.up, span(up(p)))
  set(c.rtt, rtt(p.rtt_ms))
  set(c.in, rate(p.receive_rate))
  width(c.bar, p.receive_rate >= 1 ? Math.max(3, Math.log10(p.receive_rate) * 22) : 0)
  set(c.out, rate(p.send_rate))
  set(c.score, p.score)
  flag(row, 'on', p.node_id === open)
}

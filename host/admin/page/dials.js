// Attempts to link, both ways, stage by stage; and why they failed, counted.
import { $, h, set, put, width, keyed, slide, glide, head } from './dom.js'
import { state, older } from './state.js'
import { clock, took, where } from './format.js'
import { rows } from './rows.js'
import { get } from './act.js'
import { recent } from './overview.js'

const stages = ['transport', 'security', 'muxer', 'info']
const mostReasons = 12

let asked = '' // the start of the node whose whole ring is here

export function dials(root) {
  const current = h('tbody'), body = h('tbody'), reasons = h('div', { class: 'reasons' })
  const quiet = h('p', { class: 'none' }, 'No attempt failed.')
  const scroll = h('section', { class: 'card scroll', tabindex: 0, 'aria-label': 'Attempts' },
    h('table', { class: 'cards fixed' }, head('When|w-when', 'Address|w-where', 'Stages|w-stages', 'Outcome',
      'From|w-from', 'Took|n w-took'), current, body))
  root.append(h('div', { class: 'grid tables' }, scroll,
    h('section', { class: 'card' }, h('h2', {}, 'Why not, last 10 minutes'), reasons)))
  const table = rows(body, {
    key: d => d.key, make, update: write,
    empty: () => state.dialing.length ? 'No attempt has ended yet.' : 'No attempts yet.',
  })
  if (asked !== state.boot) whole()

  function update() {
    const now = state.dialing.map(d => ({ key: d.address + d.node_id, d, now: true }))
    const past = [...state.attempts].reverse().map(d => ({ key: d.seq, d }))
    slide(body, innerWidth > 760 ? scroll : $('main'), () => {
      keyed(current, now, e => e.key, make, write)
      table.fill(past)
    })
    glide(reasons, () => count(reasons, quiet))
  }
  return { update, close: table.close }
}

// whole reads the node's whole ring of attempts: a snapshot has only the latest.
async function whole() {
  const boot = state.boot, all = await get('v1/dials')
  if (!all || boot !== state.boot) return
  asked = boot
  older(all.attempts)
}

function make(e) {
  const d = e.d, cells = stages.map(() => h('i'))
  const row = h('tr', {}, h('td', { class: 'mono opt' }, clock(d.time || d.since)),
    h('td', { class: 'main mono', title: d.address }, (d.inbound ? '← ' : '→ ') + where(d.address)),
    h('td', { class: 'r' }, h('span', { class: 'stages', role: 'img' }, cells)),
    h('td'), h('td', { class: 'why opt' }, d.inbound ? 'inbound' : d.source || ''), h('td', { class: 'n' }))
  row.cellsOf = cells
  return row
}

function write(row, e) {
  const d = e.d, [, , bar, outcome, , time] = row.cells, failed = !e.now && !d.ok
  const done = d.ok ? stages.length : Math.max(0, stages.indexOf(d.stage))
  row.cellsOf.forEach((c, i) => put(c, 'class', i < done ? 'ok' : i > done ? '' : e.now ? 'now' : failed ? 'bad' : ''))
  const said = e.now ? `dialing: ${d.stage}` : d.ok ? 'all stages' : `failed at ${d.stage || 'once'}`
  put(bar.firstChild, 'aria-label', said)
  put(outcome, 'class', failed ? 'bad' : '')
  set(outcome, e.now ? 'dialing' : d.ok ? worked[d.kind] || 'linked' : why(d))
  if (d.remedy || failed) put(outcome, 'title', [d.reason?.text, d.remedy].filter(Boolean).join('\n'))
  set(time, e.now ? '' : took(d.ms))
}

const worked = { feeler: 'answers', moved: 'moved to QUIC' }

// why is the reason of a failure, short.
function why(d) {
  const r = d.reason || {}, text = r.text || r.limit || r.code || 'failed'
  return text.replace(/\b(dial|to|from|at) \/\S+?:? /g, '').replace(/\bdial (tcp|udp)[46]? \S+: (connect: )?/, '')
    .replace(/^(transport|security|muxer|info): /, '').replace(/\b[0-9a-f]{40}\b/g, id => id.slice(0, 8))
}

// alike is the reason without the ids, ports and addresses in it, so that those alike can be counted.
const alike = d => why(d).replace(/\b[0-9a-f]{8}\b|\b12D3Koo\w+|\[[0-9a-f:]+\]:\d+|\b\d+\.\d+\.\d+\.\d+(:\d+)?/g, '…')

function count(reasons, quiet) {
  const sums = new Map()
  for (const d of state.attempts) {
    if (d.ok || !recent(d.time)) continue
    const key = alike(d), had = sums.get(key)
    if (had) had.n++
    else sums.set(key, { key, n: 1, remedy: d.remedy })
  }
  const list = [...sums.values()].sort((a, b) => b.n - a.n || (a.key < b.key ? -1 : 1)).slice(0, mostReasons)
  keyed(reasons, list, r => r.key, r => h('div', {},
    h('span', {}, r.key), h('b'), h('div', { class: 'meter' }, h('div')), h('small', {}, r.remedy || '')),
  (e, r) => {
    set(e.children[1], r.n)
    width(e.children[2].firstChild, 100 * r.n / list[0].n)
  })
  if (!list.length && !quiet.parentNode) reasons.append(quiet)
  if (list.length) quiet.remove()
}

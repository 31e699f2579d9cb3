// The addresses that the node knows: how they fill its tables, who waits, who is banned.
import { h, set, put, keyed, head, copy } from './dom.js'
import { state, now } from './state.js'
import { day, number, span, where, short } from './format.js'
import { get } from './act.js'
import { askBanAddress, askForget, askUnban, clear } from './ask.js'

const again = 10_000, mostCells = 256, mostShown = 200

export function addresses(root) {
  const titles = { fresh: h('h2'), tried: h('h2') }
  const heats = { fresh: h('div', { class: 'heat', role: 'img' }), tried: h('div', { class: 'heat t', role: 'img' }) }
  const note = h('p', { class: 'note' })
  const waiting = list('Waiting', head('Address', 'Reason', 'Failures|n', 'Next dial|n', '|n'), 'Nobody waits.')
  const banned = list('Banned', head('Target', 'Reason', 'Since|n', 'Until|n', '|n'), 'Nobody is banned.')
  const groups = list('Largest groups', head('Group', 'New|n', 'Tried|n', 'Linked|n'), 'No addresses yet.')
  groups.table.classList.remove('cards')
  set(waiting.title, 'Waiting, not dialed until then')
  const refresh = () => read()
  const own = ownPlaces()
  banned.title.after(h('button', { class: 'act small', onclick: () => askBanAddress(refresh) }, 'Ban…'))
  root.append(h('div', { class: 'grid tables' },
    h('div', { class: 'col' },
      h('section', { class: 'card' }, titles.fresh, heats.fresh),
      h('section', { class: 'card' }, titles.tried, heats.tried, note),
      waiting.card, banned.card),
    h('div', { class: 'col' }, own.card, groups.card)))

  const stop = new AbortController()
  let turns = 0
  async function read() {
    const whole = turns++ % 3 === 0 // the node counts all that it knows for the book
    const [wait, bans, book] = await Promise.all(['v1/waiting', 'v1/bans', whole && 'v1/book']
      .map(path => path && get(path, stop.signal)))
    if (stop.signal.aborted) return
    if (book) drawBook(book)
    if (wait) drawWaiting(wait)
    if (bans) drawBans(bans)
  }

  function drawBook(b) {
    set(titles.fresh, `New: ${number(b.new)} heard of, never reached by a dial`)
    set(titles.tried, `Tried: ${number(b.tried)} that ${b.tried === 1 ? 'has' : 'have'} worked`)
    const most = b.buckets.size || 64
    const share = Math.max(heat(heats.fresh, b.buckets.new, most), heat(heats.tried, b.buckets.tried, most))
    const square = share > 1 ? `${share} buckets` : 'a bucket'
    set(note, `A square is ${square} of ${most}; darker is fuller. One source can reach 32 new buckets, one group 4 ` +
      'tried ones.')
    const make = g => h('tr', {}, h('td', { class: 'mono' }, g.group), h('td'), h('td'), h('td'))
    fill(groups, b.groups || [], g => g.group, make,
      (row, g) => ['new', 'tried', 'linked'].forEach((k, i) => {
        set(row.cells[i + 1], number(g[k]))
        put(row.cells[i + 1], 'class', 'n' + (g[k] ? '' : ' zero'))
      }))
  }

  function drawWaiting(all) {
    fill(waiting, all, w => w.node_id + w.kind, w => h('tr', {}, h('td', { class: 'main mono', title: w.address }),
      h('td', { class: 'why full' }), h('td', { class: 'n opt' }), h('td', { class: 'n' }), h('td', { class: 'n btn' },
        h('button', { class: 'act small', 'aria-label': 'Clear ' + where(w.address), onclick: () => clear(w, refresh) },
          'Clear'),
        h('button', {
          class: 'act small', 'aria-label': 'Forget ' + where(w.address),
          onclick: () => askForget(w.node_id, where(w.address) || short(w.node_id), refresh),
        }, 'Forget…'))),
    (row, w) => {
      const left = (Date.parse(w.until) - now()) / 1000
      set(row.cells[0], where(w.address) || short(w.node_id))
      set(row.cells[1], w.reason || w.code)
      set(row.cells[2], w.failures)
      set(row.cells[3], left > 0 ? 'in ' + span(left) : 'now')
    })
  }

  function drawBans(all) {
    fill(banned, all, b => b.target, b => h('tr', {},
      h('td', { class: 'main mono', title: b.target }, target(b.target)),
      h('td', { class: 'why full' }, b.reason || 'no reason given'),
      h('td', { class: 'n opt' }, b.since ? day(b.since) : ''), h('td', { class: 'n' }),
      h('td', { class: 'n btn' }, h('button', {
        class: 'act small', 'aria-label': 'Lift the ban of ' + target(b.target),
        onclick: () => askUnban(b.target, refresh),
      }, 'Lift'))),
    (row, b) => set(row.cells[3], b.until ? 'in ' + span((Date.parse(b.until) - now()) / 1000) : 'for ever'))
  }

  const timer = setInterval(() => document.hidden || read(), again)
  read()
  return {
    update: own.update,
    close() {
      clearInterval(timer)
      stop.abort()
    },
  }
}

// ownPlaces is a card with the addresses of the node itself: where it listens, and where peers see it.
function ownPlaces() {
  const listens = h('ul', { class: 'places', 'aria-label': 'This node listens at' })
  const seen = h('ul', { class: 'places', 'aria-label': 'Peers see this node at' })
  const note = h('p', { class: 'note' })
  const card = h('section', { class: 'card' }, h('h2', {}, 'This node listens at'), listens,
    h('h2', {}, 'Peers see it at'), seen, note)
  const make = o => h('li', {}, copy(o.address, 'Address'), h('span'))
  const many = (row, o) => set(row.lastChild, o.peers === undefined ? '' :
    `${number(o.peers)} ${o.peers === 1 ? 'peer' : 'peers'}`)
  return {
    card,
    update() {
      const st = state.status, observed = st?.observed || []
      keyed(listens, (st?.listen || []).map(address => ({ address })), o => o.address, make, many)
      keyed(seen, observed, o => o.address, make, many)
      set(note, observed.length ? 'What peers over libp2p say. An address that no peer can dial needs a forwarded ' +
        'port, or listen.external.' : 'No peer has said so far. Peers over libp2p do; comet peers cannot.')
    },
  }
}

const target = t => /^[0-9a-f]{40}$/.test(t) ? t.slice(0, 16) + '…' : t

// list is a card with a table, and a line for when it is empty or longer than what is shown.
function list(text, heads, none) {
  const title = h('h2', {}, text), body = h('tbody'), end = h('p', { class: 'note', hidden: true })
  const table = h('table', { class: 'cards', 'aria-label': text }, heads, body)
  const scroll = h('div', { class: 'waiting', tabindex: 0, role: 'group', 'aria-label': text }, table)
  const card = h('section', { class: 'card' }, h('div', { class: 'bar' }, title), scroll, end)
  table.hidden = true
  return { card, title, table, body, end, none }
}

function fill({ table, body, end, none }, all, key, make, update) {
  keyed(body, all.slice(0, mostShown), key, make, update)
  table.hidden = !all.length
  end.hidden = all.length > 0 && all.length <= mostShown
  set(end, all.length ? `and ${number(all.length - mostShown)} more` : none)
}

// heat draws the fill of buckets. Large tables have several buckets to a square; it returns how many.
function heat(box, buckets, most) {
  const share = Math.max(1, Math.ceil(buckets.length / mostCells)), cells = []
  for (let i = 0; i < buckets.length; i += share) {
    const some = buckets.slice(i, i + share)
    cells.push({ i, n: some.reduce((a, b) => a + b, 0), most: most * some.length, many: some.length })
  }
  put(box, 'aria-label', `${buckets.filter(Boolean).length} of ${buckets.length} buckets in use`)
  keyed(box, cells, c => c.i, () => h('i'), (e, c) => {
    const part = c.n / c.most, grade = part > .75 ? 4 : part > .4 ? 3 : part > .15 ? 2 : 1
    put(e, 'class', c.n ? `f h${grade}` : '')
    put(e, 'title', `bucket${c.many > 1 ? `s ${c.i} to ${c.i + c.many - 1}` : ` ${c.i}`}: ${c.n} of ${c.most}`)
  })
  return share
}

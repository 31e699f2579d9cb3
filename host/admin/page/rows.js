// The rows of a long table: only those in view are elements, and the one with the focus. All have the same height.
import { h, $, keyed } from './dom.js'

const margin = 10, always = 60 // rows beyond the view; lists up to this long are shown whole

// rows fills body. make(item) returns a row, update(row, item) writes what has changed, open(item) is for a press.
export function rows(body, { key, make, update, open, empty }) {
  let items = [], height = 41, current = null, forced = -1

  const indexOf = k => items.findIndex(item => key(item) === k)
  const scroller = body.closest('table').parentNode
  const keyOf = row => row && row.of !== undefined ? row.of : null

  function view() {
    if (items.length <= always) return [0, items.length]
    const outer = $('main').getBoundingClientRect(), inner = scroller.getBoundingClientRect()
    const at = body.getBoundingClientRect().top
    const top = Math.max(outer.top, inner.top), bottom = Math.min(outer.bottom, inner.bottom)
    const first = Math.floor((top - at) / height) - margin, last = Math.ceil((bottom - at) / height) + margin
    return [Math.max(0, Math.min(first, items.length - 1)), Math.max(1, Math.min(last, items.length))]
  }

  function draw() {
    const sample = body.querySelector('tr.real')
    if (sample && sample.offsetHeight > 8) height = sample.offsetHeight
    const [first, last] = view(), shown = []
    const focused = indexOf(keyOf(document.activeElement?.closest?.('tr.real')))
    const apart = new Set([focused, forced].filter(i => i >= 0 && (i < first || i >= last)))
    const gap = (from, to) => to > from && shown.push({ key: 'gap' + shown.length, gap: (to - from) * height })
    let at = 0
    const one = i => {
      gap(at, i)
      shown.push({ key: 'row' + key(items[i]), item: items[i], i })
      at = i + 1
    }
    for (const i of [...apart].sort((a, b) => a - b)) if (i < first) one(i)
    for (let i = first; i < last; i++) one(i)
    for (const i of [...apart].sort((a, b) => a - b)) if (i >= last) one(i)
    gap(at, items.length)
    if (!items.length) shown.push({ key: 'none', none: true })
    const table = body.closest('table')
    table.setAttribute('aria-rowcount', items.length + 1)
    if (indexOf(current) < 0) current = items.length ? key(items[first]) : null
    keyed(body, shown, e => e.key, makeRow, (row, e) => {
      if (e.gap) row.firstChild.style.height = e.gap + 'px'
      if (!e.item) return
      row.setAttribute('aria-rowindex', e.i + 2)
      if (open) row.tabIndex = row.of === current ? 0 : -1
      row.item = e.item
      update(row, e.item)
    })
  }

  // columns counts those that are shown: a cell that spans more makes columns of its own, and moves the others.
  const columns = () => [...body.closest('table').tHead.rows[0].cells]
    .filter(c => getComputedStyle(c).display !== 'none').length

  function makeRow(e) {
    if (e.gap) return h('tr', { class: 'space', 'aria-hidden': true }, h('td'))
    if (e.none) return h('tr', {}, h('td', { class: 'empty', colspan: columns() }, empty()))
    const row = make(e.item)
    row.classList.add('real')
    row.of = key(e.item)
    return row
  }

  body.onclick = e => {
    const row = e.target.closest('tr.real')
    if (row && open && !String(getSelection())) open(row.item, row)
  }
  body.onkeydown = e => {
    const row = e.target.closest('tr.real'), i = indexOf(keyOf(row)), page = 12
    if (!row || e.target !== row || e.ctrlKey || e.metaKey || e.altKey) return
    const last = items.length - 1
    const to = { ArrowDown: i + 1, ArrowUp: i - 1, PageDown: i + page, PageUp: i - page, Home: 0, End: last }
    if (e.key in to) focus(Math.max(0, Math.min(last, to[e.key])))
    else if ((e.key === 'Enter' || e.key === ' ') && open) open(row.item, row)
    else return
    e.preventDefault()
  }

  function focus(i) {
    if (i < 0) return
    forced = i
    current = key(items[i])
    draw()
    forced = -1
    for (const row of body.children) if (row.of === current) row.focus()
  }

  const scrolled = () => items.length > always && draw()
  $('main').addEventListener('scroll', scrolled, { capture: true, passive: true })
  addEventListener('resize', scrolled)
  return {
    fill(list) {
      items = list
      draw()
    },
    focus: () => focus(Math.max(0, indexOf(current))),
    close() {
      $('main').removeEventListener('scroll', scrolled, { capture: true })
      removeEventListener('resize', scrolled)
    },
  }
}

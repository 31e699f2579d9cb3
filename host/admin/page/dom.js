// Elements, and lists that keep them. All text becomes text nodes: names and reasons come from strangers.
import { clean } from './format.js'

const SVG = 'http://www.w3.org/2000/svg'

export const $ = id => document.getElementById(id)

function build(e, attrs, kids) {
  for (const [k, v] of Object.entries(attrs)) {
    if (k.startsWith('on')) e[k] = v
    else if (v !== undefined && v !== null && v !== false) e.setAttribute(k, v === true ? '' : clean(String(v)))
  }
  for (const kid of kids.flat(9)) {
    if (kid === undefined || kid === null || kid === false || kid === '') continue
    e.append(typeof kid === 'string' ? clean(kid) : kid)
  }
  return e
}

// h makes an element of HTML, s one of SVG: attributes, on* as handlers, then text and elements.
export const h = (tag, attrs = {}, ...kids) => build(document.createElement(tag), attrs, kids)
export const s = (tag, attrs = {}, ...kids) => build(document.createElementNS(SVG, tag), attrs, kids)

// set writes a text, put an attribute, width a width in percent, only if it has changed.
export function set(e, text) {
  const now = clean(String(text))
  if (e.textContent !== now) e.textContent = now
}
export function put(e, name, value) {
  const now = clean(String(value))
  if (e.getAttribute(name) !== now) e.setAttribute(name, now)
}
export function width(e, percent) {
  const now = Math.min(100, Math.max(0, percent)).toFixed(1) + '%'
  if (e.style.width !== now) e.style.width = now
}
export function flag(e, name, on) {
  if (e.classList.contains(name) !== on) e.classList.toggle(name, on)
}

// keyed brings the children of parent to items. Elements of keys that stay are kept, so that selections, focus and
// scroll positions survive; update writes what has changed into them.
export function keyed(parent, items, key, make, update) {
  const had = parent.kept || new Map(), next = new Map(), focused = document.activeElement
  for (const item of items) {
    const k = key(item)
    if (next.has(k)) continue
    const e = had.get(k) || make(item)
    had.delete(k)
    if (update) update(e, item)
    next.set(k, e)
  }
  for (const e of had.values()) e.remove()
  let at = parent.firstChild
  for (const e of next.values()) {
    if (e === at) at = at.nextSibling
    else if (e.parentNode === parent && parent.moveBefore) parent.moveBefore(e, at)
    else parent.insertBefore(e, at)
  }
  parent.kept = next
  if (focused && focused !== document.activeElement && parent.contains(focused)) focused.focus({ preventScroll: true })
}

// slide lets what change adds above the first child of list push that down smoothly: nothing jumps under a pointer.
export function slide(list, scroller, change) {
  const first = list.firstElementChild, was = first ? first.offsetTop : 0
  change()
  const moved = first && first.parentNode === list ? first.offsetTop - was : 0
  if (moved === 0 || scroller.scrollTop > 1 || !list.animate) return
  const still = matchMedia('(prefers-reduced-motion: reduce)').matches
  list.animate([{ transform: `translateY(${-moved}px)` }, { transform: 'none' }],
    { duration: still ? 1 : 240, easing: 'ease-out' })
}

// glide lets the children of a short list move smoothly to their new places.
export function glide(list, change) {
  const before = new Map([...list.children].map(e => [e, e.offsetTop]))
  change()
  const still = matchMedia('(prefers-reduced-motion: reduce)').matches
  for (const e of list.children) {
    const moved = before.has(e) ? e.offsetTop - before.get(e) : 0
    if (moved) {
      e.animate([{ transform: `translateY(${-moved}px)` }, { transform: 'none' }],
        { duration: still ? 1 : 240, easing: 'ease-out' })
    }
  }
}

export const labels = { comet: 'comet', libp2p: 'libp2p', quic: 'QUIC' }
export const kinds = Object.keys(labels)

// A shape goes with each colour: never colour alone.
export const shapes = {
  comet: 'M5 .5a4.5 4.5 0 100 9 4.5 4.5 0 100-9z', libp2p: 'M1 1h8v8H1z', quic: 'M5 0l5 5-5 5-5-5z',
}
export const glyph = k => s('svg', { class: 'g ' + k, viewBox: '0 0 10 10', 'aria-hidden': true },
  s('path', { d: shapes[k] || shapes.comet }))
export const wire = k => h('span', { class: 'wire' }, glyph(k), h('b', {}, labels[k] || k))

export function say(text) {
  const toast = $('toast')
  set(toast, text)
  toast.classList.add('on')
  clearTimeout(say.timer)
  say.timer = setTimeout(() => toast.classList.remove('on'), Math.max(1600, 60 * text.length))
}

export const copy = (text, what, shown = text) => h('button', {
  class: 'copy id', title: 'Copy ' + text,
  onclick: async () => {
    try {
      await navigator.clipboard.writeText(text)
      say(what + ' copied')
    } catch {
      say('This browser does not let the page copy: select the text')
    }
  },
}, shown)

// head makes the head of a table: names of columns, with an n before those that are numbers.
export const head = (...names) => h('thead', {}, h('tr', {}, names.map(t => {
  const [name, kind] = t.split('|')
  return h('th', { scope: 'col', class: kind }, name || h('span', { class: 'hear' }, 'Actions'))
})))

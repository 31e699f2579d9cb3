// The page: its views, keys and what it says of itself. No framework, no build step.
import { $, h, s, set, put, flag, say, copy } from './dom.js'
import { state, watch, changed, age } from './state.js'
import { clean, clock, number, short, span } from './format.js'
import { follow, truth } from './stream.js'
import { mayAct, takeToken } from './act.js'
import { askDial, askToken } from './ask.js'
import * as drawer from './drawer.js'
import { overview } from './overview.js'
import { peers, only } from './peers.js'
import { dials } from './dials.js'
import { addresses } from './addresses.js'
import { traffic } from './traffic.js'

const views = { overview, peers, dials, addresses, traffic }
const icons = {
  overview: 'M3 6h5c5 0 3 8 9 8M3 10h14', peers: 'M4 5h12M4 10h12M4 15h12', dials: 'M4 10h9m-4-4l4 4-4 4M17 4v12',
  addresses: 'M4 4h5v5H4zM11 4h5v5h-5zM4 11h5v5H4zM11 11h5v5h-5z', traffic: 'M3 15l4-6 4 3 6-8',
}
const counts = {
  peers: () => state.peers.size, dials: () => state.attempts.length, addresses: () => state.status?.store?.known,
}

const here = () => views[location.hash.slice(1)] ? location.hash.slice(1) : 'overview'
const scrolls = {} // of the views that were left
let view = null, shown = ''

function show(id) {
  drawer.show(id, shut)
  changed()
}
function shut() {
  drawer.shut()
  changed()
}
function filter(kind, direction) {
  only(kind, direction)
  location.hash = 'peers'
}

const links = Object.keys(views).map(v => h('a', { href: '#' + v },
  s('svg', { viewBox: '0 0 20 20', 'aria-hidden': true }, s('path', { d: icons[v] })),
  v[0].toUpperCase() + v.slice(1), counts[v] && h('small')))
$('tabs').append(...links)

// route opens the view of the address. A view is opened once the node has told what it is about.
function route() {
  if (takeToken() && state.status) say('Unlocked in this tab')
  const to = here(), main = $('main')
  links.forEach((a, i) => {
    if (Object.keys(views)[i] === to) a.setAttribute('aria-current', 'page')
    else a.removeAttribute('aria-current')
  })
  if (!state.status || to === shown) return
  if (view) {
    scrolls[shown] = main.scrollTop
    view.close()
  }
  main.replaceChildren()
  shown = to
  view = views[to](main, { show, filter })
  put(main, 'aria-label', to)
  view.update(drawer.opened())
  main.scrollTop = scrolls[to] || 0
}

function head() {
  const st = state.status
  if (!st) return
  set($('moniker'), st.moniker || short(st.node_id))
  set($('network'), st.network)
  if ($('self').hidden) {
    const self = copy(st.node_id, 'Node id', short(st.node_id))
    self.id = 'self'
    $('self').replaceWith(self)
  }
  set($('uptime'), 'up ' + span(age()))
  $('lock').hidden = mayAct()
  links.forEach((a, i) => {
    const n = counts[Object.keys(views)[i]]?.()
    if (a.querySelector('small')) set(a.querySelector('small'), n === undefined ? '' : number(n))
  })
}

// banner says what is not true any more. The words are for the operator, never those of an exception.
function banner() {
  const at = clock(state.word), wait = `Trying again every ${truth.wait} s.`, first = !state.word
  const [word, text] = {
    live: ['live', ''],
    stale: ['no word for 12 s', 'The node has not answered for 12 s: it hangs, or this machine sleeps. ' +
      (first ? wait : `What you see is from ${at}. ${wait}`)],
    gone: ['node stopped', first ? `Nothing answers at ${location.host}. ${wait}` :
      `The node stopped at ${at}: nothing answers at ${location.host}. This is its last state; the page goes on by ` +
      'itself when it is back.'],
    busy: truth.text ? ['node refuses', `${truth.text.replace(/\.$/, '')}. ${wait}`] : ['connecting', ''],
  }[truth.now]
  const live = $('live'), wrong = truth.now !== 'live' && text !== ''
  if (live.className !== truth.now) live.className = truth.now
  set(live, word)
  live.title = word
  flag(document.body, 'stale', wrong)
  if ($('banner').hidden !== !text) $('banner').hidden = !text
  put($('banner'), 'class', truth.now)
  set($('banner'), text)
  const moniker = clean(state.status?.moniker || '')
  const title = (wrong ? '! ' : '') + (moniker ? moniker + ' · ' : '') + 'Switchyard'
  if (document.title !== title) document.title = title
}

watch(() => {
  banner()
  head()
  route()
  view?.update(drawer.opened())
  drawer.update()
})

onhashchange = () => {
  route()
  changed()
}
$('dial').onclick = () => askDial(show)
$('lock').onclick = askToken
$('theme').onclick = () => {
  const root = document.documentElement, dark = root.classList.contains('dark') ||
    !root.classList.contains('light') && matchMedia('(prefers-color-scheme: dark)').matches
  root.classList.toggle('dark', !dark)
  root.classList.toggle('light', dark)
  try { localStorage.setItem('theme', dark ? 'light' : 'dark') } catch { /* a browser that keeps nothing */ }
  changed()
}

document.onkeydown = e => {
  if (e.ctrlKey || e.metaKey || e.altKey || $('ask').open) return
  if (e.key === 'Escape') {
    if (drawer.opened()) shut()
    else if (e.target.matches('input')) e.target.blur()
    return
  }
  if (e.target.matches('input, select, textarea')) return
  if (e.key === 'd') askDial(show)
  else if (e.key === '/') {
    if (drawer.opened() && innerWidth <= 760) shut()
    location.hash = 'peers'
    route()
    $('find')?.focus()
  } else if (e.key >= '1' && e.key <= '5') location.hash = Object.keys(views)[e.key - 1]
  else return
  e.preventDefault()
}

// what counts up by itself: a second is over for everybody
setInterval(() => truth.now === 'live' && changed(), 1000)
route()
banner()
truth.tell = banner
follow()

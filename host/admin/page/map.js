// The picture of all that this node knows: its links, and which peer reported which. d3-force lays it out, a few steps
// a frame.
import { s, put, set, keyed, labels, shapes } from './dom.js'
import { state, name } from './state.js'
import { get } from './act.js'
import { short } from './format.js'

const fewNamed = 16, mostLinks = 120, mostKnown = 200, steps = 160, stepsAFrame = 16, again = 30_000 // ms

// map returns the picture's element and its update(width, height, open).
export function map(show) {
  const told = s('g'), lines = s('g'), dots = s('g'), marks = s('g'), self = s('circle', { class: 'self', r: 11 })
  const hint = s('text', { class: 'empty', 'text-anchor': 'middle' })
  const pic = s('svg', { class: 'pic', role: 'group', 'aria-label': 'Links, and which peer reported which' },
    told, lines, dots, marks, self, hint)
  const places = new Map() // of nodes, so that a new layout begins where the last one ended
  let graph = null, asked = 0, shape = '', sim = null, laid = { nodes: [], links: [] }

  async function ask() {
    asked = Date.now()
    graph = await get('v1/graph') || graph || { nodes: [], edges: [] }
    if (pic.isConnected) update(...last)
  }

  let last = [0, 0, '']
  function update(W, height, open) {
    last = [W, height, open]
    if (Date.now() - asked > again) ask()
    if (!graph) return
    const H = W < 560 ? 420 : height, peers = [...state.peers.values()].slice(0, mostLinks)
    const linked = new Set(peers.map(p => p.node_id)), me = state.status?.node_id
    const known = graph.nodes.filter(n => n.id !== me && !state.peers.has(n.id)).slice(0, mostKnown)
    const now = [W, H, ...linked, ...known.map(n => n.id)].join()
    put(pic, 'viewBox', `0 0 ${W} ${H}`)
    put(pic, 'height', H)
    if (now !== shape) {
      shape = now
      lay(W, H, peers, known, me)
    }
    draw(W, H, open)
  }

  function lay(W, H, peers, known, me) {
    const start = n => Object.assign(n, places.get(n.id))
    const nodes = [{ id: '', fx: 0, fy: 0 }, ...peers.map(p => start({ id: p.node_id, p })),
      ...known.map(k => start({ id: k.id, k }))]
    const ids = new Set(nodes.map(n => n.id)), links = peers.map(p => ({ source: '', target: p.node_id, p }))
    for (const e of graph.edges) {
      if (e.from !== e.to && e.from !== me && e.to !== me && ids.has(e.from) && ids.has(e.to)) {
        links.push({ source: e.from, target: e.to, loose: state.peers.has(e.to) })
      }
    }
    const d3 = window.d3
    if (sim) sim.stop()
    sim = d3.forceSimulation(nodes)
      .force('l', d3.forceLink(links).id(n => n.id)
        .distance(l => l.p ? 70 + 45 * Math.log10(1 + (l.p.rtt_ms || 1)) : 30)
        .strength(l => l.p ? .5 : l.loose ? 0 : .7))
      .force('c', d3.forceManyBody().strength(-46))
      .force('x', d3.forceX(0).strength(.025)).force('y', d3.forceY(0).strength(.09)).stop()
    const mine = sim
    let left = steps
    const run = () => {
      if (mine !== sim) return
      mine.tick(stepsAFrame)
      left -= stepsAFrame
      if (left > 0 && pic.isConnected) return requestAnimationFrame(run)
      for (const n of nodes) places.set(n.id, { x: n.x, y: n.y })
      fit(nodes, W, H)
      laid = { nodes, links }
      draw(...last)
    }
    run()
  }

  function draw(W, H, open) {
    const { nodes, links } = laid, height = Number(pic.getAttribute('height'))
    put(self, 'cx', W / 2)
    put(self, 'cy', height / 2)
    set(hint, nodes.length > 1 || sim === null ? '' : 'It knows nobody yet')
    put(hint, 'x', W / 2)
    put(hint, 'y', height / 2 + 40)
    const key = l => l.source.id + '>' + l.target.id
    const ends = (e, l) => {
      put(e, 'x1', l.source.sx)
      put(e, 'y1', l.source.sy)
      put(e, 'x2', l.target.sx)
      put(e, 'y2', l.target.sy)
    }
    keyed(told, links.filter(l => !l.p), key, () => s('line', { class: 'told' }), ends)
    keyed(lines, links.filter(l => l.p), key, l => s('line', { class: l.p.kind }), ends)
    keyed(dots, nodes.filter(n => n.k), n => n.id,
      n => s('circle', { class: 'known', r: 2.6 }, s('title', {}, (n.k.moniker || '') + ' ' + short(n.id))),
      (e, n) => (put(e, 'cx', n.sx), put(e, 'cy', n.sy)))
    keyed(marks, nodes.filter(n => n.p), n => n.id, n => makeMark(n, show), (e, n) => drawMark(e, n, W, open))
  }
  return { pic, update }
}

// fit stretches the layout to the picture, around its middle.
function fit(nodes, W, H) {
  const most = nodes.length < 20 ? 3.2 : 2.2
  const far = (k, room) => Math.min(most, room / Math.max(1, ...nodes.map(n => Math.abs(n[k]))))
  const fx = far('x', W / 2 - (W < 560 ? 12 : 70)), fy = far('y', H / 2 - 14)
  for (const n of nodes) {
    n.sx = (W / 2 + n.x * fx).toFixed(1)
    n.sy = (H / 2 + n.y * fy).toFixed(1)
  }
}

function makeMark({ p }, show) {
  const mark = s('path', { class: 'end', fill: 'currentColor' })
  const text = s('text', { class: 'halo' }), title = s('title')
  const g = s('g', {
    tabindex: 0, role: 'button', onclick: () => show(p.node_id),
    onkeydown: e => (e.key === 'Enter' || e.key === ' ') && (show(p.node_id), e.preventDefault()),
  }, mark, title, text)
  g.parts = { mark, text, title }
  return g
}

function drawMark(g, { p, sx, sy }, W, open) {
  const { mark, text, title } = g.parts, x = Number(sx), y = Number(sy), called = name(p), left = x < W / 2
  put(g, 'class', 'p ' + p.kind + (open === p.node_id ? ' on' : ''))
  put(g, 'aria-label', `${called}, ${labels[p.kind] || p.kind}, ${p.direction}`)
  put(mark, 'd', shapes[p.kind] || shapes.comet)
  put(mark, 'transform', `translate(${(x - 6).toFixed(1)} ${(y - 6).toFixed(1)}) scale(1.2)`)
  set(title, called)
  const named = state.peers.size <= fewNamed || p.direction === 'outbound' || open === p.node_id
  set(text, W > 560 && named ? called.slice(0, 24) : '')
  put(text, 'x', x + (left ? -11 : 11))
  put(text, 'y', y + 4)
  put(text, 'text-anchor', left ? 'end' : 'start')
}

// What flows over each channel: 15 minutes as a stacked chart, and the latest figures as a table.
import { h, set, put, keyed, head } from './dom.js'
import { state, points, setTraffic, changed } from './state.js'
import { clock, number, rate, size } from './format.js'
import { get } from './act.js'

let side = 'receive'

// ordered gives each channel its colour: by id, with peer exchange in the faintest, whatever flows.
function ordered(channels) {
  const list = [...channels].sort((a, b) => (a.id === 0) - (b.id === 0) || a.id - b.id)
  const hues = [1, 2, 3, 5, 6, 7, 8]
  return list.map((c, i) => ({ c, hue: c.id === 0 ? 4 : hues[i % hues.length] }))
}
const hex = id => '0x' + id.toString(16).padStart(2, '0')

export function traffic(root) {
  const box = h('div', { class: 'plot', role: 'img' }), title = h('h2'), body = h('tbody')
  const quiet = h('p', { class: 'none' }, 'No point yet: there is one each 5 s.')
  const names = [['receive', 'Received'], ['send', 'Sent']]
  const buttons = names.map(([k, text]) => h('button', {
    'aria-pressed': String(side === k),
    onclick: () => {
      side = k
      buttons.forEach((b, i) => put(b, 'aria-pressed', String(names[i][0] === k)))
      again()
    },
  }, text))
  root.append(h('div', { class: 'col' },
    h('section', { class: 'card' }, h('div', { class: 'bar' }, title,
      h('div', { class: 'seg', role: 'group', 'aria-label': 'Direction' }, buttons)), box, quiet),
    h('section', { class: 'card' }, h('table', { class: 'cards' },
      head('Channel', 'In|n', 'Out|n', 'Queued|n', 'Dropped|n'), body))))

  let plot = null, shape = '', drawn = ''
  function again() {
    plot?.destroy()
    plot = null
    shape = drawn = ''
    update()
  }

  function chart(list, t) {
    const n = points(t), now = list.map(({ c }) => c.id + c.name).join() + side + box.clientWidth
    quiet.hidden = n > 1
    box.hidden = n < 2
    if (n < 2) return
    if (shape !== now) {
      shape = now
      plot?.destroy()
      plot = make(box, list)
      drawn = ''
    }
    if (drawn === t.last + side + n) return
    drawn = t.last + side + n
    const xs = Array.from({ length: n }, (_, i) => t.last - (n - 1 - i) * t.step_s)
    const values = list.map(({ c }) => c[side] || [])
    // a stack: each series is what it carries and all that lie below it
    const stacked = values.map((_, i) => xs.map((_, k) => values.slice(i).reduce((sum, v) => sum + (v[k] || 0), 0)))
    plot.own = values
    plot.setData([xs, ...stacked])
    put(box, 'aria-label', `${names.find(([k]) => k === side)[1]} by channel; the table below has the latest figures`)
  }

  function update() {
    const t = state.traffic
    set(title, `${side === 'receive' ? 'Received' : 'Sent'} by channel, last 15 minutes`)
    if (!t) return
    if (t.unknown) {
      t.unknown = false
      get('v1/traffic').then(all => all && setTraffic(all))
    }
    const list = ordered(t.channels || [])
    chart(list, t)
    keyed(body, list, ({ c }) => c.id, ({ c, hue }) => h('tr', {},
      h('td', { class: 'main' }, h('i', { class: 'sw c' + hue }), h('span'), h('span', { class: 'id' }, hex(c.id))),
      h('td', { class: 'n' }), h('td', { class: 'n opt' }), h('td', { class: 'n opt' }), h('td')),
    (row, { c }) => {
      const [who, into, out, queued, dropped] = row.cells
      set(who.children[1], c.name || 'channel ' + hex(c.id))
      set(into, rate(c.receive_rate))
      set(out, rate(c.send_rate))
      set(queued, size(c.queued_bytes))
      set(dropped, number(c.dropped))
      put(dropped, 'class', 'n ' + (c.dropped ? 'bad drops' : 'opt zero'))
    })
  }
  const resize = new ResizeObserver(() => changed())
  resize.observe(box.parentNode)
  const themes = new MutationObserver(again)
  themes.observe(document.documentElement, { attributeFilter: ['class'] })
  const dark = matchMedia('(prefers-color-scheme: dark)')
  dark.addEventListener('change', again)
  return {
    update,
    close() {
      resize.disconnect()
      themes.disconnect()
      dark.removeEventListener('change', again)
      plot?.destroy()
    },
  }
}

// make builds a chart in the colours of the theme: a canvas knows no CSS.
function make(box, list) {
  const probe = h('i')
  box.replaceChildren(probe)
  const css = name => {
    probe.style.color = `var(${name})`
    return getComputedStyle(probe).color
  }
  const mix = name => {
    probe.style.color = `color-mix(in srgb, var(${name}) 32%, var(--card))`
    return getComputedStyle(probe).color
  }
  const font = '12px system-ui', line = { stroke: css('--line'), width: 1 }, axis = { stroke: css('--mute'), font }
  const options = {
    width: Math.max(280, box.parentNode.clientWidth - 16), height: Math.min(360, innerHeight * .42),
    padding: [12, 24, 0, 0], legend: { live: false }, cursor: { points: { size: 7 } },
    axes: [
      {
        ...axis, space: 80, grid: line, ticks: { show: false },
        values: (_, v, axis, space, step) => v.map(t => clock(t * 1000).slice(0, step < 60 ? 8 : 5)),
      },
      { ...axis, size: 76, grid: line, ticks: { show: false }, values: (_, v) => v.map(n => n ? short(n) : '0') },
    ],
    series: [{ label: 'time' }, ...list.map(({ c, hue }, i) => ({
      label: c.name || hex(c.id), stroke: css('--c' + hue), fill: mix('--c' + hue), width: 1.5, points: { show: false },
      value: (u, v, _, k) => k === null ? '' : rate(u.own?.[i]?.[k]),
    }))],
  }
  box.replaceChildren()
  return new window.uPlot(options, [[], ...list.map(() => [])], box)
}

const short = n => rate(n).replace('.0 ', ' ')

'use strict';
(() => {
const $ = id => document.getElementById(id);
const data = JSON.parse($('data').textContent);
const nodes = data.nodes;
const told = data.edges.map(list => { let at = 0; return list.map(d => at += d); });
const tellers = nodes.map(() => []);
told.forEach((list, i) => list.forEach(j => tellers[j].push(i)));
const alive = n => n.s === 'reachable' || n.s === 'full' || n.s === 'refused';
const nameOf = n => n.m || (n.id ? n.id.slice(0, 12) : n.a || '?');
const el = (tag, text, cls) => {
  const e = document.createElement(tag);
  if (text !== undefined) e.textContent = text;
  if (cls) e.className = cls;
  return e;
};

// The head, and the choices of the filters.
$('title').textContent = data.network || 'crawl';
$('sub').textContent = data.counts.map(c => c.nodes + ' ' + c.name).join(', ') + ' \u00b7 ' + data.when +
  (data.partial ? ' \u00b7 partial: ' + data.partial : '') +
  (data.left[0] ? ' \u00b7 ' + data.left[0] + ' nodes not drawn' : '') +
  (data.left[1] ? ' \u00b7 ' + data.left[1] + ' edges not drawn' : '');
const networkOf = n => n.n || (n.v ? data.network : '');
const fill = (id, of) => {
  const counts = new Map();
  for (const n of nodes) { const v = of(n); if (v) counts.set(v, (counts.get(v) || 0) + 1); }
  for (const [v, k] of [...counts].sort((a, b) => b[1] - a[1]).slice(0, 100)) {
    const o = el('option', v + ' (' + k + ')');
    o.value = v;
    $(id).append(o);
  }
  $(id).hidden = counts.size < 2;
};
fill('reach', n => n.s);
fill('version', n => n.v);
fill('network', networkOf);
fill('as', n => n.as);

let shown = nodes.map(() => true), picked = -1, hover = -1;
const haystack = nodes.map(n => [n.m, n.id, n.a, n.v, n.n, n.as].join(' ').toLowerCase());

function filter() {
  const q = $('find').value.trim().toLowerCase();
  const reach = $('reach').value, version = $('version').value, network = $('network').value, as = $('as').value;
  shown = nodes.map((n, i) => (!q || haystack[i].includes(q)) && (!reach || n.s === reach) &&
    (!version || n.v === version) && (!network || networkOf(n) === network) && (!as || n.as === as));
  const hits = [];
  shown.forEach((s, i) => { if (s) hits.push(i); });
  hits.sort((a, b) => (nodes[b].b || 0) - (nodes[a].b || 0));
  const most = 60;
  $('count').textContent = hits.length + ' of ' + nodes.length + ' nodes' +
    (hits.length > most ? '; the ' + most + ' that most tell of:' : '');
  $('list').replaceChildren(...hits.slice(0, most).map(i => {
    const li = el('li'), b = el('button');
    b.type = 'button';
    b.append(el('span', nameOf(nodes[i])), el('span', nodes[i].s));
    b.dataset.node = i;
    b.addEventListener('click', () => { pick(i); show(i); });
    li.append(b);
    return li;
  }));
  mark();
  draw();
}

function mark() {
  for (const b of $('list').querySelectorAll('button')) {
    b.setAttribute('aria-current', String(Number(b.dataset.node) === picked));
  }
}

function pick(i) {
  picked = i;
  const box = $('detail');
  box.replaceChildren();
  if (i < 0) {
    box.append(el('p', 'Click a node, or choose one below. Drag moves the map, the wheel zooms.'));
  } else {
    const n = nodes[i], dl = el('dl');
    box.append(el('h2', nameOf(n)), dl);
    const row = (k, v, cls) => { if (v) dl.append(el('dt', k), el('dd', String(v), cls)); };
    row('state', n.s + (n.liar ? ', tells of nobody real' : '') + (n.seed ? ', seed' : ''));
    row('id', n.id, 'mono');
    row('address', n.a, 'mono');
    for (const a of n.o || []) row('also', a, 'mono');
    row('network', networkOf(n));
    row('AS', n.as);
    row('version', n.v);
    row('wire', n.k === 'quic' ? 'libp2p over QUIC' : n.k);
    row('round trip', n.r ? n.r.toFixed(1) + ' ms' : '');
    row('reason', n.w);
    row('told of', n.t ? n.t + ' nodes' : '');
    row('told by', n.b ? n.b + ' nodes' : '');
  }
  mark();
  draw();
}

// The picture.
const canvas = $('map'), ctx = canvas.getContext('2d');
const css = getComputedStyle(document.documentElement);
let colour = {}, scale = 1, dx = 0, dy = 0, width = 0, height = 0, due = false, fitted = true;
// The more edges there are, the paler is each.
const edges = told.reduce((sum, list) => sum + list.length, 0);
const pale = Math.min(1, Math.max(0.12, Math.sqrt(1500 / Math.max(edges, 1))));

function colours() {
  for (const k of ['comet', 'libp2p', 'quic', 'bad', 'warn', 'faint', 'edge', 'hot', 'ink', 'card']) {
    colour[k] = css.getPropertyValue('--' + k).trim();
  }
}

function fit() {
  fitted = true;
  const list = nodes.filter((n, i) => shown[i]), all = list.length ? list : nodes;
  let lo = [0, 0], hi = [1, 1];
  if (all.length) {
    const xs = all.map(n => n.x).sort((a, b) => a - b), ys = all.map(n => n.y).sort((a, b) => a - b);
    lo = [xs[0], ys[0]];
    hi = [xs[xs.length - 1], ys[ys.length - 1]];
  }
  const w = Math.max(hi[0] - lo[0], 40), h = Math.max(hi[1] - lo[1], 40);
  scale = Math.min((width - 80) / w, (height - 100) / h, 6);
  dx = width / 2 - scale * (lo[0] + hi[0]) / 2;
  dy = (height - 20) / 2 - scale * (lo[1] + hi[1]) / 2;
  draw();
}

function show(i) {
  const x = nodes[i].x * scale + dx, y = nodes[i].y * scale + dy;
  if (x < 20 || y < 20 || x > width - 20 || y > height - 20) {
    dx += width / 2 - x;
    dy += height / 2 - y;
    fitted = false;
    draw();
  }
}

const radius = n => (alive(n) ? 4 : 2.2) * Math.min(1.6, Math.max(0.7, Math.sqrt(scale)));

function shape(n, x, y, r) {
  ctx.beginPath();
  if (alive(n) && n.k === 'libp2p') {
    ctx.rect(x - r, y - r, 2 * r, 2 * r);
  } else if (alive(n) && n.k === 'quic') {
    ctx.moveTo(x, y - 1.3 * r);
    ctx.lineTo(x + 1.3 * r, y);
    ctx.lineTo(x, y + 1.3 * r);
    ctx.lineTo(x - 1.3 * r, y);
    ctx.closePath();
  } else {
    ctx.arc(x, y, r, 0, 7);
  }
}

function draw() {
  if (due) return;
  due = true;
  requestAnimationFrame(paint);
}

function paint() {
  due = false;
  const focus = picked >= 0 ? picked : hover;
  ctx.clearRect(0, 0, width, height);
  ctx.lineWidth = 1;
  ctx.strokeStyle = colour.edge;
  ctx.globalAlpha = pale;
  ctx.beginPath();
  told.forEach((list, i) => {
    if (!shown[i]) return;
    const x = nodes[i].x * scale + dx, y = nodes[i].y * scale + dy;
    for (const j of list) {
      if (!shown[j]) continue;
      ctx.moveTo(x, y);
      ctx.lineTo(nodes[j].x * scale + dx, nodes[j].y * scale + dy);
    }
  });
  ctx.stroke();
  if (focus >= 0) {
    ctx.strokeStyle = colour.hot;
    ctx.globalAlpha = 0.7;
    ctx.beginPath();
    for (const j of [...told[focus], ...tellers[focus]]) {
      ctx.moveTo(nodes[focus].x * scale + dx, nodes[focus].y * scale + dy);
      ctx.lineTo(nodes[j].x * scale + dx, nodes[j].y * scale + dy);
    }
    ctx.stroke();
  }
  // Those that were not found lie below the others.
  for (const above of [false, true]) {
    nodes.forEach((n, i) => {
      if (alive(n) !== above) return;
      const x = n.x * scale + dx, y = n.y * scale + dy, r = radius(n);
      if (x < -20 || y < -20 || x > width + 20 || y > height + 20) return;
      ctx.globalAlpha = shown[i] ? 1 : 0.12;
      shape(n, x, y, r);
      ctx.fillStyle = n.s === 'reachable' ? colour[n.k] || colour.comet : alive(n) ? colour.card : colour.faint;
      ctx.fill();
      if (n.liar || n.s === 'full' || n.s === 'refused') {
        ctx.strokeStyle = n.liar ? colour.bad : colour.warn;
        ctx.lineWidth = 2;
        ctx.stroke();
        ctx.lineWidth = 1;
      }
    });
  }
  ctx.globalAlpha = 1;
  label(focus);
}

// label writes the names for which there is room: of the node in focus first, then of those that most tell of.
const ranked = nodes.map((n, i) => i).filter(i => alive(nodes[i]))
  .sort((a, b) => (nodes[b].b || 0) - (nodes[a].b || 0));
function label(focus) {
  ctx.font = '11.5px system-ui, "DejaVu Sans", sans-serif';
  ctx.textBaseline = 'middle';
  const taken = new Set();
  let count = 0;
  for (const i of focus >= 0 ? [focus, ...ranked] : ranked) {
    if (count >= 60) break;
    if (!shown[i] && i !== focus) continue;
    const n = nodes[i], x = n.x * scale + dx, y = n.y * scale + dy;
    if (x < 0 || y < 0 || x > width - 60 || y > height - 30) continue;
    const name = nameOf(n), cells = [];
    const text = name.length > 26 && i !== focus ? name.slice(0, 24) + '...' : name;
    const w = ctx.measureText(text).width + 16;
    for (let c = Math.floor(x / 20); c <= (x + w) / 20; c++) {
      for (const l of [Math.floor((y - 8) / 16), Math.floor((y + 8) / 16)]) cells.push(c + ',' + l);
    }
    if (i !== focus && cells.some(c => taken.has(c))) continue;
    cells.forEach(c => taken.add(c));
    ctx.lineWidth = 3;
    ctx.strokeStyle = colour.card;
    ctx.strokeText(text, x + 9, y);
    ctx.fillStyle = colour.ink;
    ctx.fillText(text, x + 9, y);
    count++;
  }
  ctx.lineWidth = 1;
  if (focus >= 0) {
    ctx.strokeStyle = colour.hot;
    ctx.beginPath();
    ctx.arc(nodes[focus].x * scale + dx, nodes[focus].y * scale + dy, radius(nodes[focus]) + 4, 0, 7);
    ctx.stroke();
  }
}

function nearest(x, y) {
  let best = -1, least = 14 * 14;
  nodes.forEach((n, i) => {
    if (!shown[i]) return;
    const a = n.x * scale + dx - x, b = n.y * scale + dy - y, d = a * a + b * b - (alive(n) ? 8 : 0);
    if (d < least) { least = d; best = i; }
  });
  return best;
}

const pointers = new Map();
let moved = 0;
const at = e => { const r = canvas.getBoundingClientRect(); return [e.clientX - r.left, e.clientY - r.top]; };
canvas.addEventListener('pointerdown', e => {
  pointers.set(e.pointerId, at(e));
  moved = 0;
  canvas.setPointerCapture(e.pointerId);
});
canvas.addEventListener('pointermove', e => {
  const [x, y] = at(e), was = pointers.get(e.pointerId);
  if (!was) {
    const h = nearest(x, y);
    if (h !== hover) { hover = h; draw(); }
    return;
  }
  moved += Math.abs(x - was[0]) + Math.abs(y - was[1]);
  fitted = false;
  if (pointers.size === 1) {
    dx += x - was[0];
    dy += y - was[1];
  } else {
    const [other] = [...pointers].filter(([id]) => id !== e.pointerId).map(p => p[1]);
    const before = Math.hypot(was[0] - other[0], was[1] - other[1]);
    const after = Math.hypot(x - other[0], y - other[1]);
    if (before > 0) zoom(after / before, (x + other[0]) / 2, (y + other[1]) / 2);
  }
  pointers.set(e.pointerId, [x, y]);
  draw();
});
const release = e => {
  if (pointers.delete(e.pointerId) && e.type === 'pointerup' && moved < 5) pick(nearest(...at(e)));
};
canvas.addEventListener('pointerup', release);
canvas.addEventListener('pointercancel', release);
function zoom(f, x, y) {
  const to = Math.min(40, Math.max(0.02, scale * f));
  fitted = false;
  dx = x - (x - dx) * to / scale;
  dy = y - (y - dy) * to / scale;
  scale = to;
  draw();
}
canvas.addEventListener('wheel', e => {
  e.preventDefault();
  zoom(Math.exp(-e.deltaY / 500), ...at(e));
}, {passive: false});
$('fit').addEventListener('click', fit);
for (const id of ['find', 'reach', 'version', 'network', 'as']) $(id).addEventListener('input', filter);
document.addEventListener('keydown', e => {
  if (e.key === 'Escape') pick(-1);
  if (e.key === '/' && document.activeElement !== $('find')) { e.preventDefault(); $('find').focus(); }
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { colours(); draw(); });
new ResizeObserver(() => {
  const r = canvas.getBoundingClientRect(), ratio = window.devicePixelRatio || 1;
  width = r.width;
  height = r.height;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  if (fitted) fit();
  paint();
}).observe(canvas);
colours();
filter();
pick(-1);
})();

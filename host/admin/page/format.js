// Numbers, times and addresses as people read them.

// Characters that reorder, hide or break text: a name that has them would lie about itself.
const tricks = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g
export const clean = text => text.replace(tricks, '')

export function size(n) {
  n = Math.max(0, n || 0)
  if (n < 999.5) return Math.round(n) + ' B'
  if (n < 999.95e3) return (n / 1e3).toFixed(1) + ' kB'
  if (n < 999.95e6) return (n / 1e6).toFixed(1) + ' MB'
  return (n / 1e9).toFixed(1) + ' GB'
}
export const rate = n => size(n) + '/s'

export function span(seconds) {
  const t = Math.max(0, seconds), f = Math.floor
  if (t < 60) return f(t) + ' s'
  if (t < 3600) return f(t / 60) + ' min'
  if (t < 86400) return f(t / 3600) + ' h ' + f(t / 60 % 60) + ' m'
  return f(t / 86400) + ' d ' + f(t / 3600 % 24) + ' h'
}

export function took(ms) {
  if (!(ms >= 0)) return ''
  if (ms < .095) return ms.toFixed(2) + ' ms'
  return ms < 9.95 ? ms.toFixed(1) + ' ms' : ms < 999.5 ? Math.round(ms) + ' ms' : (ms / 1000).toFixed(1) + ' s'
}
export const rtt = ms => ms > 0 ? (ms < 1 ? ms.toFixed(2) : ms.toFixed(1)) + ' ms' : '–'

// clock is the local time of day of a time, in milliseconds or as text.
export function clock(time) {
  const d = new Date(time)
  return isNaN(d) ? '' : d.toTimeString().slice(0, 8)
}
export function day(time) {
  const d = new Date(time)
  return isNaN(d) ? '' : d.toLocaleDateString() + ' ' + clock(d)
}
export const number = n => (n || 0).toLocaleString('en')
export const short = id => !id ? '' : /^[0-9a-f]{40}$/.test(id) ? id.slice(0, 8) : id.slice(-8)

// where shortens an address to host:port, without what names its peer.
export function where(address) {
  const a = (address || '').replace(/\/(mconn|p2p)\/[^/]+$/, '')
  const m = /^\/(?:ip4|ip6|dns[46]?|dnsaddr|onion3?)\/([^/]+)(?:\/(?:tcp|udp)\/(\d+))?/.exec(a)
  if (!m) return a.replace(/^[0-9a-f]{40}@/, '')
  const host = m[1].includes(':') && a.startsWith('/ip6') ? '[' + m[1] + ']' : m[1]
  return m[2] ? host + ':' + m[2] : host
}

const keys = 'listen|stack|peers|limits|discovery|services|transports|store|admin|identity'
const parts = new RegExp('`([^`]+)`|\\b((?:' + keys + ')\\.[a-z_]+)|(\\b\\d+\\.\\d+\\.\\d+\\.\\d+:\\d+)', 'g')

// words splits text for people into plain parts, code (`text`, and keys of the configuration) and addresses.
export function words(text) {
  const out = []
  let at = 0
  for (const m of (text || '').matchAll(parts)) {
    if (m.index > at) out.push(['', text.slice(at, m.index)])
    out.push(m[3] ? ['mono', m[3]] : ['code', m[1] || m[2]])
    at = m.index + m[0].length
  }
  if (at < (text || '').length) out.push(['', text.slice(at)])
  return out
}

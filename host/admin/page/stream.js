// The stream of the node, and whether it is true: a page without word from its node says so and stops looking live.
import { state, snapshot, delta, event, changed } from './state.js'

const silence = 12_000 // ms without a byte: the node sends a ping each 5 s
const mostPending = 16 << 20 // characters of a message

// truth is what the page says of itself: live, stale (no word), gone (no connection), or busy (an error with its text).
// Its tell is called at once, also in a tab that nobody sees.
export const truth = { now: 'busy', text: '', wait: 2, tell() {} }

function become(now, text = '') {
  if (now === truth.now && text === truth.text) return
  truth.now = now
  truth.text = text
  truth.tell()
  changed()
}

// follow reads the stream for ever, and connects again when it ends.
export async function follow() {
  let last = '', failures = 0
  for (;;) {
    const came = await read(last)
    last = came.last
    failures = came.messages ? 0 : failures + 1
    truth.wait = Math.min(10, 2 + Math.max(0, failures - 15))
    changed()
    // one that has ended in good order is asked again almost at once
    const wait = came.messages && !came.failed ? .25 : truth.wait
    await new Promise(done => setTimeout(done, 1000 * wait * (.8 + .4 * Math.random())))
  }
}

async function read(last) {
  const abort = new AbortController(), came = { last, messages: 0, failed: false }
  let timer = 0
  const word = () => {
    clearTimeout(timer)
    timer = setTimeout(() => abort.abort(), silence)
  }
  word()
  try {
    const headers = { Accept: 'text/event-stream' }
    if (last) headers['Last-Event-ID'] = last
    const answer = await fetch('v1/stream', { headers, signal: abort.signal, cache: 'no-store' })
    word()
    const date = Date.parse(answer.headers.get('Date'))
    if (date) state.skew = Math.abs(date - Date.now()) < 2000 ? 0 : date - Date.now()
    if (!answer.ok) {
      become('busy', `The node answers ${answer.status}: ${await errorOf(answer)}`)
      came.failed = true
      return came
    }
    await messages(answer.body, word, came)
  } catch {
    came.failed = true
    if (abort.signal.aborted) become('stale')
    else if (!came.messages || truth.now !== 'live') become('gone')
    else came.failed = false // cut: whether it is gone shows the next attempt
  } finally {
    clearTimeout(timer)
    abort.abort()
  }
  return came
}

// messages reads server-sent events. Bytes of any kind are a sign of life.
async function messages(body, word, came) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader()
  let pending = ''
  for (;;) {
    const { value, done } = await reader.read()
    if (done) return
    word()
    state.word = Date.now()
    pending += value.replaceAll('\r', '')
    if (pending.length > mostPending) throw new Error('a message that is too long')
    for (let end; (end = pending.indexOf('\n\n')) >= 0;) {
      take(pending.slice(0, end), came)
      pending = pending.slice(end + 2)
    }
  }
}

function take(block, came) {
  let kind = 'message', data = '', id = ''
  for (const line of block.split('\n')) {
    const at = line.indexOf(':'), field = line.slice(0, at), value = line.slice(at + 1).replace(/^ /, '')
    if (field === 'event') kind = value
    else if (field === 'data') data += value
    else if (field === 'id') id = value
  }
  if (!data) return
  const m = JSON.parse(data)
  if (kind === 'snapshot') {
    if (state.boot && m.boot_id !== state.boot) location.reload() // another start: perhaps another version of this page
    snapshot(m)
  } else if (kind === 'delta') delta(m)
  else if (kind === 'event') event(m.event)
  if (id) came.last = id
  came.messages++
  become('live')
}

export async function errorOf(answer) {
  const text = (await answer.text()).slice(0, 2000)
  try {
    return JSON.parse(text).error || text
  } catch {
    return text || answer.statusText
  }
}

// Dialogs: each says what the action does before it is done, and what the node answered if it refuses.
import { $, h, set, say } from './dom.js'
import { state, name } from './state.js'
import { short, where } from './format.js'
import { act, mayAct, unlock } from './act.js'

// ask opens a dialog. run(values, doing) returns an error to show, or nothing when it is done; doing shows progress.
// If the error has a force, the second press confirms that.
function ask({ title, text, verb, go, fields = [], run }) {
  const d = $('ask'), error = h('p', { class: 'bad', role: 'alert' })
  const doing = h('p', { class: 'doing', role: 'status' })
  const ok = h('button', { class: 'act solid' + (go ? ' go' : '') }, verb)
  let force = false, busy = false
  const form = h('form', {
    method: 'dialog',
    onsubmit: async e => {
      e.preventDefault()
      if (busy) return
      busy = ok.disabled = true
      error.hidden = true
      const values = Object.fromEntries(new FormData(form))
      const failed = await run({ ...values, force }, t => {
        set(doing, t)
        doing.hidden = !t
      })
      busy = ok.disabled = false
      doing.hidden = true
      if (d.firstChild !== form) return // another dialog has taken its place
      if (!failed) return d.close()
      if (!d.open) return say(failed.text)
      set(error, failed.text)
      error.hidden = false
      if (failed.force) {
        force = true
        set(ok, verb + ' anyway')
      }
    },
  }, h('h2', { id: 'asked' }, title), text && h('p', {}, text), fields, error, doing, h('div', { class: 'row' },
    // of type button: Enter in a field presses the first submit button
    h('button', { class: 'act', type: 'button', onclick: () => d.close() }, 'Cancel'), ok))
  error.hidden = doing.hidden = true
  d.replaceChildren(form)
  if (!d.open) d.showModal()
  const first = form.querySelector('input, select') || ok
  first.focus()
}

const failure = ({ status, error }) => status === 401 ? { text: locked } : { text: error }
const locked = 'The node wants the token of this start, and this tab has none or an old one: open the address that ' +
  'the node printed.'

// guarded runs an action's dialog, or that which asks for the token.
const guarded = open => (...args) => mayAct() ? open(...args) : askToken()

export function askToken() {
  ask({
    title: 'This page is read-only', verb: 'Unlock', go: true,
    text: [`To act, open the address that the node printed when it started (it ends in `, h('code', {}, '#token=…'),
      '), or paste the token here: ', h('code', {}, 'cat HOME/admin.token'), '. It stays in this tab.'],
    fields: [h('label', {}, 'Token', h('input', {
      name: 'token', type: 'password', required: true, autocomplete: 'off', spellcheck: 'false', maxlength: 1024,
    }))],
    async run({ token }) {
      const text = await unlock(token.trim())
      if (text) return { text }
      say('Unlocked in this tab')
    },
  })
}

export const askDial = guarded(show => ask({
  title: 'Dial a peer', verb: 'Dial', go: true,
  text: 'One attempt, shown stage by stage under Dials. An address that works is remembered.',
  fields: [h('label', {}, 'Address', h('input', {
    name: 'address', required: true, placeholder: 'ID@host:26656 or /ip4/…/p2p/…', autocomplete: 'off',
    spellcheck: 'false', maxlength: 1000,
  }))],
  async run({ address }, doing) {
    const stage = () => {
      const d = state.dialing.find(d => where(d.address) === where(address.trim()))
      doing(d ? `Dialing: ${d.stage || 'transport'}` : 'Dialing…')
    }
    stage()
    const timer = setInterval(stage, 200)
    const answer = await act('POST', 'v1/dial', { address: address.trim() })
    clearInterval(timer)
    if (answer.error) return failure(answer)
    say('Linked: ' + name(answer.data))
    soon(answer.data.node_id, show, 25)
  },
}))

// soon shows a peer once the stream has told of it, which is within a second or two.
function soon(id, show, tries) {
  if (state.peers.has(id)) show(id)
  else if (tries > 0) setTimeout(() => soon(id, show, tries - 1), 120)
}

export const askDisconnect = guarded(p => ask({
  title: `Disconnect ${name(p)}?`, verb: 'Disconnect',
  text: p.trusted ? 'It is persistent, so the node dials it again within seconds.' :
    'It may come back; a ban keeps it away.',
  async run() {
    const answer = await act('POST', 'v1/disconnect', { node_id: p.node_id })
    if (answer.error && answer.status !== 404) return failure(answer)
    say(answer.error ? 'The link had ended' : 'Disconnected: ' + name(p))
  },
}))

const periods = [['1h', '1 hour'], ['24h', '24 hours'], ['168h', '7 days'], ['', 'ever']]
const banFields = () => [
  h('label', {}, 'For', h('select', { name: 'for' }, periods.map(([v, t]) => h('option', { value: v }, t)))),
  h('label', {}, 'Reason, for the log', h('input', { name: 'reason', maxlength: 200, autocomplete: 'off' })),
]

async function ban(targets, { for: period, reason, force }) {
  for (const target of targets) {
    const body = { target, for: period, reason }
    if (force) body.force = true
    const answer = await act('POST', 'v1/ban', body)
    if (answer.status === 409 && !force) return { text: answer.error, force: true }
    if (answer.error) return failure(answer)
  }
  say('Banned: ' + targets.map(short0).join(' and '))
}
const short0 = t => /^[0-9a-f]{40}$/.test(t) ? short(t) : t

// askBan refuses the peer's id, and its IP unless other links use that.
export const askBan = guarded(p => {
  const others = [...state.peers.values()].filter(o => o.ip === p.ip && o.node_id !== p.node_id).length
  const ip = p.ip && !others ? p.ip : ''
  ask({
    title: `Ban ${name(p)}?`, verb: 'Ban', fields: banFields(),
    text: `Ends this link and refuses ${ip ? ip + ' and ' : ''}${short(p.node_id)} until then.` + (!others ? '' :
      ` ${p.ip} stays welcome: ${others === 1 ? 'another link uses' : others + ' other links use'} it.`) +
      (p.trusted ? ' It is persistent: it is not dialed while the ban holds.' : ''),
    run: values => ban([p.node_id, ip].filter(Boolean), values),
  })
})

export const askBanAddress = guarded(done => ask({
  title: 'Ban an address', verb: 'Ban',
  text: 'Ends the links that match and refuses them until then.',
  fields: [h('label', {}, 'Node id, IP or network', h('input', {
    name: 'target', required: true, placeholder: '203.0.113.9 or 203.0.113.0/24', autocomplete: 'off',
    spellcheck: 'false', maxlength: 100,
  })), ...banFields()],
  async run(values) {
    const failed = await ban([values.target.trim()], values)
    if (!failed) done()
    return failed
  },
}))

export const askUnban = guarded((target, done) => ask({
  title: `Lift the ban of ${short0(target)}?`, verb: 'Lift', go: true,
  text: 'It may connect again, and may be dialed.',
  async run() {
    const answer = await act('DELETE', 'v1/ban/' + encodeURIComponent(target))
    if (answer.error && answer.status !== 404) return failure(answer)
    say('Lifted: ' + short0(target))
    done()
  },
}))

// askForget removes a peer from what the node knows; done is called then. One that is linked loses its link first.
export const askForget = guarded((id, called, done = () => {}) => {
  const linked = state.peers.has(id)
  ask({
    title: `Forget ${called}?`, verb: 'Forget',
    text: (linked ? 'Ends this link, and removes' : 'Removes') + ' its addresses and its history from what the node ' +
      'knows. It may connect again, and others may report it again; a ban keeps it away.',
    async run() {
      const answer = await act('POST', 'v1/forget', linked ? { peer: id, disconnect: true } : { peer: id })
      if (answer.error && answer.status !== 404) return failure(answer)
      say(answer.error ? 'The node did not know it any more' : 'Forgotten: ' + called)
      done()
    },
  })
})

// clear ends a peer's backoff and quarantine. It undoes nothing, so it asks nothing.
export const clear = guarded(async (w, done) => {
  const answer = await act('POST', 'v1/clear', { node_id: w.node_id })
  say(answer.error ? failure(answer).text : 'Cleared: it may be dialed now')
  done()
})

// What the operator does. The token of this start comes in the fragment of the page's address, and stays in this tab.
import { state, changed } from './state.js'
import { errorOf } from './stream.js'

const kept = 'token'

// takeToken moves a token from the address to the tab's storage, so that no history and no screenshot has it.
export function takeToken() {
  const m = /^#token=([!-~]{32,1024})$/.exec(location.hash)
  if (!m) return false
  sessionStorage.setItem(kept, m[1])
  history.replaceState(null, '', location.pathname + location.search)
  changed()
  return true
}

// mayAct reports whether actions need no more than they have: the node may want a token that this tab lacks.
export const mayAct = () => state.status?.writes !== 'token' || sessionStorage.getItem(kept) !== null

// act asks the node for something. It returns the answer, or the error in words and its HTTP status.
export async function act(method, path, body, patience = 45_000) {
  const headers = { 'Content-Type': 'application/json' }, token = sessionStorage.getItem(kept)
  if (token) headers.Authorization = 'Bearer ' + token
  try {
    const answer = await fetch(path, {
      method, headers, body: body === undefined ? undefined : JSON.stringify(body), cache: 'no-store',
      signal: AbortSignal.timeout(patience),
    })
    if (answer.ok) return { status: answer.status, data: await answer.json().catch(() => ({})) }
    if (answer.status === 401 && token) {
      sessionStorage.removeItem(kept)
      changed()
    }
    return { status: answer.status, error: await errorOf(answer) }
  } catch {
    return { status: 0, error: 'The node does not answer.' }
  }
}

// get reads JSON of the API; null if there is none now, or if the view that asked has gone.
export async function get(path, signal) {
  try {
    const token = sessionStorage.getItem(kept), headers = token ? { Authorization: 'Bearer ' + token } : {}
    const answer = await fetch(path, { headers, signal: signal || AbortSignal.timeout(10_000), cache: 'no-store' })
    return answer.ok ? await answer.json() : null
  } catch {
    return null
  }
}

// unlock tries a token by a request that changes nothing: without a node id it is refused, but not for the token.
export async function unlock(token) {
  if (!/^[!-~]{32,1024}$/.test(token)) return 'A token has at least 32 characters: those of the node have 64.'
  sessionStorage.setItem(kept, token)
  const { status, error } = await act('POST', 'v1/clear', { node_id: '' }, 5000)
  if (status === 401 || status === 0) {
    sessionStorage.removeItem(kept)
    return status ? 'That is not the token of this start: the node makes a new one each time.' : error
  }
  changed()
  return ''
}

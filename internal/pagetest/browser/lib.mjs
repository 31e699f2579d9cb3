// A browser for the tests: pages of a node, and what must hold of every one of them.
import { chromium } from 'playwright-core'
import axe from 'axe-core'

export const sizes = { desk: { width: 1400, height: 900 }, phone: { width: 390, height: 844 } }
export const themes = ['light', 'dark']
const patience = 30_000
let shots = ''

export async function readPlan() {
  let text = ''
  for await (const part of process.stdin) text += part
  const plan = JSON.parse(text)
  shots = plan.shots
  return plan
}

let failures = 0
export function fail(text) {
  failures++
  console.log('FAIL: ' + text.replaceAll('\n', ' ').slice(0, 900))
}
export const check = (ok, text) => ok || fail(text)
export const same = (got, want, text) => check(got === want, `${text}: ${got}, want ${want}`)

// launch runs work with a browser, and ends it.
export async function launch(work) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--font-render-hinting=none'],
  })
  const start = Date.now()
  try {
    await work(browser)
  } catch (e) {
    fail(String(e.stack || e))
    const pages = browser.contexts().flatMap(c => c.pages())
    for (const [i, p] of pages.entries()) {
      if (shots) await p.screenshot({ path: `${shots}/failed-${i}.png` }).catch(() => {})
    }
  } finally {
    await browser.close()
  }
  console.log(`${failures} failures in ${((Date.now() - start) / 1000).toFixed(0)} s`)
}

// context is a browser profile of a size and theme.
export async function context(browser, size, theme) {
  const phone = size === 'phone'
  const c = await browser.newContext({
    viewport: sizes[size], colorScheme: theme, deviceScaleFactor: phone ? 2 : 1, hasTouch: phone, isMobile: phone,
    timezoneId: 'UTC', locale: 'en-GB', reducedMotion: 'no-preference',
  })
  c.setDefaultTimeout(patience)
  await c.addInitScript(() => {
    window.seen = { violations: [], shifts: [] }
    document.addEventListener('securitypolicyviolation', e =>
      window.seen.violations.push(`${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber}`))
    new PerformanceObserver(list => {
      for (const s of list.getEntries()) {
        if (s.hadRecentInput) continue
        const of = s.sources.map(x => x.node ? `${x.node.nodeName}.${x.node.className || x.node.id || ''}` +
          ` "${(x.node.textContent || '').slice(0, 30)}" ${x.previousRect.x},${x.previousRect.y}` +
          ` -> ${x.currentRect.x},${x.currentRect.y}` : '?')
        window.seen.shifts.push({ value: s.value, of, at: Math.round(s.startTime) })
      }
    }).observe({ type: 'layout-shift', buffered: true })
  })
  return c
}

// open opens a node's page and waits until it is live. Errors of the console are failures, but for those of requests
// that a test means to fail.
export async function open(c, url, { hash = '', token = '', label = url, requests = false } = {}) {
  const page = await c.newPage()
  page.label = label
  page.on('pageerror', e => fail(`${page.label}: ${e.stack || e}`))
  page.on('console', m => {
    if (m.type() !== 'error' || requests && m.text().startsWith('Failed to load resource')) return
    fail(`${page.label}: the console says ${m.text()}`)
  })
  await page.goto(url + (token ? '#token=' + token : hash))
  await live(page)
  if (token && hash) await go(page, hash)
  return page
}

export const live = page => page.waitForFunction(() => document.getElementById('live').textContent === 'live')
export const frames = (page, n = 3) => page.evaluate(async n => {
  for (let i = 0; i < n; i++) await new Promise(requestAnimationFrame)
}, n)

// go opens a view, and waits for what it shows.
export async function go(page, hash) {
  await page.evaluate(h => { location.hash = h }, hash)
  const sign = {
    '#overview': '#pic svg', '#peers': '.rows tr', '#dials': '.scroll tbody tr', '#addresses': '.heat i',
    '#traffic': 'tbody, .none',
  }[hash]
  await page.waitForSelector(sign, { state: 'attached' })
  await frames(page)
}

// sound checks what must hold of a page at rest: no violations, no sideways scroll, no rule of accessibility broken.
export async function sound(page, label, { rules = true } = {}) {
  page.label = label
  const seen = await page.evaluate(() => ({
    violations: window.seen.violations, wide: ['main', 'drawer'].map(id => document.getElementById(id))
      .concat(document.scrollingElement).filter(e => e.scrollWidth > e.clientWidth + 1 && !e.hidden)
      .map(e => `${e.id || e.nodeName} is ${e.scrollWidth} wide in ${e.clientWidth}`),
  }))
  for (const v of seen.violations) fail(`${label}: against the policy: ${v}`)
  for (const w of seen.wide) fail(`${label}: sideways scroll: ${w}`)
  if (!rules) return
  await page.waitForFunction(() => ['0', '1'].includes(getComputedStyle(document.getElementById('toast')).opacity))
  if (!await page.evaluate(() => Boolean(window.axe))) await page.evaluate(axe.source)
  const found = await page.evaluate(async () => {
    const r = await window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'] })
    return r.violations.map(v => `${v.id}: ${v.help}: ` +
      v.nodes.slice(0, 3).map(n => `${n.target} ${n.any.map(a => a.message)[0] || ''}`).join('; '))
  })
  for (const f of found) fail(`${label}: axe: ${f}`)
}

// turn tells a model node what to do.
export async function turn(plan, node, mode) {
  const r = await fetch(`${plan.control}/?node=${node}&mode=${mode}`)
  if (!r.ok) fail(`turn ${mode}: ${await r.text()}`)
}
export const asked = async (plan, node) => (await fetch(`${plan.control}/asked?node=${node}`)).json()

export const shot = (page, plan, name) => page.screenshot({ path: `${plan.shots}/${name}.png`, animations: 'disabled' })

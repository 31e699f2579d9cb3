// Behaviour while everything changes: nothing jumps, what was chosen stays, keys work, strangers' text is text.
import { readPlan, launch, context, open, go, live, frames, asked, check, same, fail, sound } from './lib.mjs'

const plan = await readPlan()
const calm = plan.short ? 10_000 : 60_000 // how long nothing may jump

// still watches a page for a while, and fails for every shift of the layout.
async function still(page, label, ms) {
  await page.evaluate(() => { window.seen.shifts = [] })
  await page.waitForTimeout(ms)
  const shifts = await page.evaluate(() => window.seen.shifts)
  const sum = shifts.reduce((n, s) => n + s.value, 0)
  console.log(`${label}: layout shift ${sum.toFixed(5)} in ${ms / 1000} s`)
  if (sum > 0) fail(`${label}: the layout shifts by ${sum.toFixed(5)}: ` +
    JSON.stringify(shifts.sort((a, b) => b.value - a.value).slice(0, 3)))
}

async function nothingJumps(browser) {
  const runs = []
  for (const [size, n, hash] of [['desk', 36, '#overview'], ['phone', 36, '#overview'], ['desk', 500, '#peers'],
    ['desk', 36, '#dials'], ['phone', 36, '#peers'], ['desk', 36, '#traffic']]) {
    const c = await context(browser, size, 'light')
    const page = await open(c, plan.nodes[n], { hash, token: plan.token })
    await page.waitForTimeout(700)
    runs.push(still(page, `${hash.slice(1)} of ${n} peers, ${size}`, calm).then(() => c.close()))
  }
  await Promise.all(runs)
}

async function thingsStay(browser) {
  const c = await context(browser, 'desk', 'light')
  const page = await open(c, plan.nodes[500], { hash: '#peers', token: plan.token })
  await page.locator('.rows tr.real').nth(5).focus()
  for (let i = 0; i < 30; i++) await page.keyboard.press('ArrowDown')
  const row = await page.evaluate(() => document.activeElement.querySelector('.main').textContent)
  const scrolled = await page.evaluate(() => document.querySelector('.scroll').scrollTop)
  check(scrolled > 100, `30 rows down, the table has scrolled by ${scrolled}`)
  const selected = await page.evaluate(() => {
    const cell = document.activeElement.querySelector('.main span')
    getSelection().selectAllChildren(cell)
    return String(getSelection())
  })
  await page.waitForTimeout(3500)
  const focused = () => page.evaluate(() => document.activeElement.querySelector?.('.main')?.textContent)
  same(await focused(), row, 'the focused row')
  same(await page.evaluate(() => document.querySelector('.scroll').scrollTop), scrolled, 'the scroll position')
  same(await page.evaluate(() => String(getSelection())), selected, 'the selected text')
  // the focus stays when its row is scrolled far away
  await page.evaluate(() => { document.querySelector('.scroll').scrollTop = 12_000 })
  await page.waitForTimeout(1500)
  same(await focused(), row, 'the focus, far away')
  const rows = await page.locator('.rows tr.real').count()
  check(rows < 120, `${rows} of 500 rows are elements`)

  await page.locator('#find').fill('kubo')
  await frames(page)
  const tally = await page.locator('.tools output').innerText()
  check(/^\d+ of 500 links$/.test(tally), `the tally says "${tally}"`)
  await page.locator('#find').fill('')
  await page.getByRole('button', { name: 'Score' }).click()
  await frames(page)
  same(await page.locator('th[aria-sort]').innerText().then(t => t.trim()), 'Score', 'the sorted column')
  const scores = await page.locator('.rows tr.real td:last-child').allInnerTexts()
  check(scores.slice(0, 20).every((s, i) => i === 0 || Number(s) <= Number(scores[i - 1])), `not sorted: ${scores}`)
  // a press of Enter in the table opens the drawer, and Escape gives the focus back
  await page.locator('.rows tr.real').first().focus()
  await page.keyboard.press('Enter')
  await page.waitForSelector('#drawer h2')
  await page.waitForTimeout(1200)
  check(await page.evaluate(() => document.activeElement.closest('#drawer') !== null), 'the drawer has no focus')
  await page.keyboard.press('Escape')
  check(await page.evaluate(() => document.activeElement.nodeName === 'TR'), 'Escape does not give the focus back')
  // a ribbon of the overview opens its links
  await go(page, '#overview')
  await page.getByRole('button', { name: /^\d+ QUIC .*inbound/ }).click()
  await page.waitForSelector('.rows tr.real')
  await frames(page)
  same(await page.locator('.chip[aria-pressed=true]').first().innerText(), 'QUIC', 'the chip')
  await c.close()
}

async function keys(browser) {
  const c = await context(browser, 'desk', 'dark')
  const page = await open(c, plan.nodes[36], { token: plan.token, requests: true })
  const hash = () => page.evaluate(() => location.hash)
  const views = [['2', '#peers'], ['3', '#dials'], ['4', '#addresses'], ['5', '#traffic'], ['1', '#overview']]
  for (const [key, want] of views) {
    await page.keyboard.press(key)
    same(await hash(), want, `the view of ${key}`)
  }
  await page.keyboard.press('/')
  same(await page.evaluate(() => document.activeElement.id), 'find', 'the focus after /')
  await page.keyboard.press('Escape')
  await page.keyboard.press('d')
  await page.waitForSelector('dialog[open]')
  await page.keyboard.type('deadbeef@127.0.0.1:1')
  await page.keyboard.press('Enter')
  await page.waitForSelector('dialog .bad:not([hidden])')
  check((await page.locator('dialog .bad').innerText()).includes('connection refused'), 'the dialog hides the reason')
  await page.keyboard.press('Escape')
  await page.waitForSelector('dialog', { state: 'hidden' })

  // a ban says its effect first, and one that is too wide asks again
  await go(page, '#addresses')
  await page.getByRole('button', { name: 'Ban…' }).click()
  await page.locator('dialog input').first().fill('0.0.0.0/1')
  await page.keyboard.press('Enter')
  await page.getByRole('button', { name: 'Ban anyway' }).click()
  await page.waitForSelector('dialog', { state: 'hidden' })
  await page.getByRole('button', { name: /^Clear 77/ }).click()
  await page.waitForFunction(() => !document.body.textContent.includes('77.21.9.140'))
  await page.getByRole('button', { name: /^Lift the ban of 198/ }).click()
  await page.getByRole('button', { name: 'Lift', exact: true }).click()
  await page.waitForFunction(() => !document.querySelector('main').textContent.includes('198.51.100.0/24'))
  // where peers see the node; who waits can be forgotten
  const seen = await page.getByRole('list', { name: 'Peers see this node at' }).innerText()
  check(/198\.51\.100\.7\/udp\/41022.*\s+3 peers\s/.test(seen) && /tcp\/26656\s+1 peer$/.test(seen.trim()),
    `peers see the node at "${seen}"`)
  const waits = page.getByRole('button', { name: /^Forget / })
  const before = await waits.count()
  await waits.first().click()
  check((await page.locator('dialog p').first().innerText()).startsWith('Removes'), 'the dialog says too little')
  await page.keyboard.press('Enter')
  await page.waitForSelector('dialog', { state: 'hidden' })
  await page.waitForFunction(n => document.querySelectorAll('[aria-label^="Forget "]').length < n, before)
  // a peer is forgotten by the keyboard alone, with its link; one of the configuration is not
  await go(page, '#peers')
  const row = name => page.locator('.rows tr.real').filter({ has: page.locator('.main span', { hasText: name }) })
  await row(/^sentry-fra-1$/).focus()
  await page.keyboard.press('Enter')
  await page.getByRole('button', { name: 'Forget…' }).focus()
  await page.keyboard.press('Enter')
  await page.waitForSelector('dialog[open]')
  check(await page.evaluate(() => document.activeElement.textContent === 'Forget'), 'the dialog has no focus')
  check((await page.locator('dialog p').first().innerText()).startsWith('Ends this link'), 'its link is not spoken of')
  await page.keyboard.press('Enter')
  await page.waitForSelector('dialog .bad:not([hidden])')
  check((await page.locator('dialog .bad').innerText()).includes('configuration'), 'the dialog hides the reason')
  await page.keyboard.press('Escape')
  await page.keyboard.press('Escape')
  await row(/^harbor$/).click()
  await page.getByRole('button', { name: 'Forget…' }).click()
  await page.keyboard.press('Enter')
  await page.waitForFunction(() => /ended/.test(document.querySelector('#drawer [role=status]').textContent))
  await page.keyboard.press('Escape')
  const forgot = (await asked(plan, 36)).filter(a => a.path === '/v1/forget').map(a => Boolean(a.disconnect)).join()
  same(forgot, 'false,true,true', 'what was forgotten with its link')
  const did = (await asked(plan, 36)).map(a => `${a.method} ${a.path} ${a.target || ''} ${a.force || ''}`.trim())
  for (const want of ['POST /v1/ban 0.0.0.0/1', 'POST /v1/ban 0.0.0.0/1  true', 'POST /v1/clear',
    'DELETE /v1/ban/198.51.100.0/24', 'POST /v1/dial']) {
    check(did.some(d => d.replaceAll('  ', ' ') === want.replaceAll('  ', ' ')), `not asked: ${want}, but ${did}`)
  }
  await c.close()

  // without the token nothing is asked of the node but for the token; a wrong one is refused
  const plain = await context(browser, 'desk', 'light')
  const locked = await open(plain, plan.nodes[36], { requests: true })
  await locked.keyboard.press('d')
  await locked.waitForSelector('dialog[open]')
  check((await locked.locator('dialog h2').innerText()).includes('read-only'), 'a dial is offered without the token')
  await locked.locator('dialog input').fill('0'.repeat(64))
  await locked.keyboard.press('Enter')
  await locked.waitForSelector('dialog .bad:not([hidden])')
  await locked.locator('dialog input').fill(plan.token)
  await locked.keyboard.press('Enter')
  await locked.waitForSelector('dialog', { state: 'hidden' })
  await locked.waitForSelector('#lock', { state: 'hidden' })
  await plain.close()
}

// The whole network of a demo: the keyboard reaches its nodes, and one that is chosen stays so while all goes on.
async function wholeNetwork(browser) {
  const c = await context(browser, 'desk', 'light')
  const page = await open(c, plan.nodes[36], { hash: '#overview', token: plan.token })
  const picture = page.getByRole('group', { name: 'Picture' })
  await picture.getByRole('button', { name: 'Whole network' }).focus()
  await page.keyboard.press('Enter')
  await page.waitForFunction(() => document.querySelectorAll('.pic g.p').length === 8)
  const node = number => page.getByRole('button', { name: new RegExp(`^demo-${number} `) })
  same(await node(5).getAttribute('aria-label'), 'demo-5 stopped, speaks every wire', 'a node that has stopped')
  const says = () => page.locator('.caption span').innerText()
  check((await says()).startsWith('7 of 8 nodes run, 8 of 9 possible links are up; all were linked after 1.9 s.'),
    `the network in words: ${await says()}`)
  same(await page.locator('.legend').innerText().then(t => t.replace(/\s+/g, ' ')),
    'comet 2 libp2p 3 QUIC 3 every wire thicker: more traffic', 'the legend')
  await node(4).focus()
  await page.keyboard.press('Enter')
  check(/demo-4 speaks libp2p over QUIC .* dialed demo-1 \(QUIC\).* dialed by demo-8 \(QUIC\)/.test(await says()),
    `a node in words: ${await says()}`)
  same(await page.locator('.caption a').getAttribute('href'), 'http://127.0.0.1:24004/', 'the page of the node')
  const dim = await page.locator('.pic g.dim').count(), lit = await page.locator('.pic g.lit').count()
  check(lit === 2 && dim === 6, `${lit} links are lit, ${dim} are not`)
  await still(page, 'the whole network, desk', 4000)
  same(await node(4).getAttribute('aria-pressed'), 'true', 'the node that was chosen')
  check(await page.evaluate(() => /^demo-4 /.test(document.activeElement.getAttribute('aria-label'))), 'no focus')
  await picture.getByRole('button', { name: 'This node' }).click()
  await page.waitForSelector('.pic .yard')
  await c.close()
}

// Names that are HTML, or that turn the direction of text, are shown as harmless text.
async function strangers(browser) {
  for (const size of ['desk', 'phone']) {
    const c = await context(browser, size, 'light')
    const page = await open(c, plan.hostile, { token: plan.token })
    page.on('dialog', () => fail('a script of a stranger ran'))
    for (const hash of ['#overview', '#peers', '#dials', '#addresses', '#traffic']) {
      await go(page, hash)
      await page.waitForTimeout(200)
      await sound(page, `hostile ${hash} ${size}`)
      const found = await page.evaluate(() => ({
        images: document.querySelectorAll('body img').length,
        tricks: /[\u202a-\u202e\u200b-\u200f\u2066-\u2069]/.test(document.documentElement.innerHTML + document.title),
      }))
      same(found.images, 0, `${hash}: images`)
      check(!found.tricks, `${hash}: a character that turns or hides text`)
    }
    await c.close()
  }
}

await launch(async browser => {
  await nothingJumps(browser)
  await thingsStay(browser)
  await keys(browser)
  await wholeNetwork(browser)
  await strangers(browser)
})

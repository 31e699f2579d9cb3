// The page with a real node: actions work with its token and only with it, and the page follows the node's life.
import { readPlan, launch, context, open, go, live, sound, shot, check, same, frames } from './lib.mjs'

const plan = await readPlan()
const turn = async mode => (await fetch(`${plan.control}/?mode=${mode}`)).text()
const says = (page, word) => page.waitForFunction(w => document.getElementById('live').textContent === w, word)
const api = async path => (await fetch(plan.page + path)).json()

async function dial(page) {
  await page.keyboard.press('d')
  await page.waitForSelector('dialog[open]')
  await page.locator('dialog input').fill(plan.address)
  await page.keyboard.press('Enter')
}

// act confirms a dialog, also where the node wants it said twice.
async function confirm(page, name) {
  await page.waitForSelector('dialog[open]')
  const ok = page.locator('dialog .solid')
  same(await ok.innerText(), name, 'the dialog')
  await ok.click()
  await page.waitForFunction(() => !document.querySelector('dialog').open ||
    document.querySelector('dialog .solid').textContent.endsWith('anyway'))
  if (await page.locator('dialog[open]').count()) await ok.click()
  await page.waitForSelector('dialog', { state: 'hidden' })
}

await launch(async browser => {
  // without the token: it shows all and changes nothing
  const plain = await context(browser, 'phone', 'dark')
  const locked = await open(plain, plan.page, { requests: true })
  await locked.getByRole('button', { name: 'read-only' }).waitFor()
  await locked.keyboard.press('d')
  await locked.waitForSelector('dialog[open]')
  check((await locked.locator('dialog h2').innerText()).includes('read-only'), 'a dial is offered without the token')
  const status = await locked.evaluate(async address => (await fetch('v1/dial', {
    method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ address }),
  })).status, plan.address)
  same(status, 401, 'a dial without the token')
  await plain.close()

  const c = await context(browser, 'desk', 'dark')
  const page = await open(c, plan.page, { token: plan.token, requests: true })
  check(!page.url().includes('token'), 'the token is still in the address')
  same(await page.locator('#moniker').innerText(), 'ours', 'the moniker')
  for (const hash of ['#overview', '#peers', '#dials', '#addresses', '#traffic']) {
    await go(page, hash)
    await page.waitForTimeout(300)
    await sound(page, `real ${hash}, alone`)
  }
  await go(page, '#peers')
  await dial(page)
  await page.waitForFunction(() => document.querySelector('#drawer h2')?.textContent === 'theirs')
  await page.waitForFunction(() => document.querySelectorAll('#drawer .falls span').length >= 6)
  for (const hash of ['#overview', '#peers', '#dials', '#addresses', '#traffic']) {
    await go(page, hash)
    await page.waitForTimeout(300)
    await sound(page, `real ${hash}`)
    await shot(page, plan, `real-${hash.slice(1)}`)
  }
  const kept = await page.locator('#drawer .call b').innerText()
  check(kept.length > 3 && kept !== 'not told', `it is kept because "${kept}"`)

  await page.getByRole('button', { name: 'Disconnect' }).click()
  await confirm(page, 'Disconnect')
  await page.waitForFunction(() => /peer down/.test(document.querySelector('#drawer .ticker').textContent))
  // the node dials it again by itself, or we do
  await page.waitForTimeout(500)
  if ((await api('v1/peers')).length === 0) {
    await dial(page)
    await page.waitForSelector('dialog', { state: 'hidden' })
  }
  await go(page, '#peers')
  await page.locator('.rows tr.real').first().click()
  await page.getByRole('button', { name: 'Ban…' }).click()
  await confirm(page, 'Ban')
  await page.waitForFunction(() => document.querySelectorAll('.rows tr.real').length === 0)
  await page.locator('#drawer .call:not([hidden])').first().waitFor()
  await page.keyboard.press('Escape')
  check((await api('v1/bans')).some(b => b.target === plan.id), 'the node has no ban of it')
  await go(page, '#addresses')
  while (await page.getByRole('button', { name: /^Lift the ban/ }).count() === 0) await frames(page)
  const bans = page.getByRole('button', { name: /^Lift the ban/ })
  for (let n = await bans.count(); n > 0; n--) {
    await bans.first().click()
    await confirm(page, 'Lift')
    await page.waitForFunction(n => document.querySelectorAll('[aria-label^="Lift the ban"]').length < n, n)
  }
  same((await api('v1/bans')).length, 0, 'bans that are left')

  await turn('pause')
  await says(page, 'no word for 12 s')
  await turn('resume')
  await live(page)
  await turn('stop')
  await says(page, 'node stopped')
  check((await page.title()).startsWith('! '), 'the title of a page whose node has stopped')
  await page.evaluate(() => { window.before = true })
  const token = await turn('back')
  await page.waitForFunction(() => !window.before) // it loads itself again: the node has another boot id
  await live(page)
  same(await page.evaluate(() => location.hash), '#addresses', 'the view after a new start')
  // the old token is refused, said in words, and the new one works
  await dial(page)
  await page.waitForSelector('dialog .bad:not([hidden])')
  check((await page.locator('dialog .bad').innerText()).includes('token'), 'the dialog does not speak of the token')
  await page.keyboard.press('Escape')
  await page.evaluate(t => { location.hash = 'token=' + t }, token)
  await page.waitForFunction(() => !location.hash.includes('token'))
  await page.waitForSelector('#lock', { state: 'hidden' })
  await dial(page)
  await page.waitForFunction(() => document.querySelector('#drawer h2')?.textContent === 'theirs')
})

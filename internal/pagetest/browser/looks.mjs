// Every view in both sizes and themes, with 0 to 500 peers: sound, and as a picture.
import { readPlan, launch, context, open, go, sound, shot, frames, sizes, themes, check } from './lib.mjs'

const plan = await readPlan()
const views = ['overview', 'peers', 'dials', 'addresses', 'traffic']

async function pictures(browser, size, theme) {
  const c = await context(browser, size, theme)
  const name = what => `${what}-${size}-${theme}`
  const take = async (page, what, options) => {
    await frames(page)
    await sound(page, name(what), options)
    await shot(page, plan, name(what))
  }
  const page = await open(c, plan.nodes[36], { token: plan.token, label: name('36') })
  check(!page.url().includes('token'), 'the token is still in the address')
  for (const v of views) {
    await go(page, '#' + v)
    if (v === 'addresses') await page.waitForSelector('.waiting tbody tr', { state: 'visible' })
    await take(page, v)
  }
  await go(page, '#overview')
  await page.getByRole('button', { name: 'All it knows' }).click()
  await page.waitForFunction(() => document.querySelectorAll('.pic line').length > 50)
  await take(page, 'map')
  await page.getByRole('button', { name: 'Whole network' }).click()
  await page.waitForFunction(() => document.querySelectorAll('.pic g.p').length === 8)
  await take(page, 'network')
  await page.getByRole('button', { name: /^demo-3 .*speaks libp2p over TCP/ }).click()
  await page.waitForFunction(() => /demo-3 speaks/.test(document.querySelector('.caption').textContent))
  await take(page, 'network-node')
  await page.getByRole('button', { name: 'This node' }).click()
  await go(page, '#peers')
  await page.locator('.rows tr.real').filter({ has: page.locator('.main span', { hasText: /^harbor$/ }) }).click()
  await page.waitForSelector('#drawer h2')
  await take(page, 'drawer')
  await page.getByRole('button', { name: 'Ban…' }).click()
  await page.waitForSelector('dialog[open]')
  await take(page, 'ban')
  await page.keyboard.press('Escape')
  await page.close()

  const others = [[0, plan.short ? ['overview', 'addresses'] : views], [1, plan.short ? ['overview'] : views],
    [500, plan.short ? ['overview', 'peers'] : views]]
  for (const [n, of] of others) {
    const page = await open(c, plan.nodes[n], { token: plan.token, label: name(`n${n}`) })
    for (const v of of) {
      await go(page, '#' + v)
      await take(page, `n${n}-${v}`)
    }
    if (n === 500) {
      await go(page, '#overview')
      await page.getByRole('button', { name: 'Whole network' }).click()
      await page.waitForFunction(() => document.querySelectorAll('.pic g.p').length === 64)
      await take(page, 'n500-network')
    }
    await page.close()
  }
  // without a token: read-only, and it says how to act
  const plain = await context(browser, size, theme)
  const locked = await open(plain, plan.nodes[1], { label: name('read-only') })
  await locked.getByRole('button', { name: 'read-only' }).click()
  await locked.waitForSelector('dialog[open]')
  await take(locked, 'read-only')
  await plain.close()
  await c.close()
}

await launch(async browser => {
  for (const size of Object.keys(sizes)) {
    for (const theme of themes) {
      // the short form has both sizes and both themes once
      if (plan.short && (size === 'desk') === (theme === 'dark')) continue
      await pictures(browser, size, theme)
    }
  }
})

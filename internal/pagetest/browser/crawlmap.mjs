// The page of a crawl's map, as a file.
import axe from 'axe-core'
import { readPlan, launch, context, check, fail, same, shot, frames, themes } from './lib.mjs'

const plan = await readPlan()

async function openMap(c, url, label) {
  const page = await c.newPage()
  page.on('pageerror', e => fail(`${label}: ${e.stack || e}`))
  page.on('console', m => m.type() === 'error' && fail(`${label}: the console says ${m.text()}`))
  page.on('request', r => r.url() === url || fail(`${label}: it asks for ${r.url()}`))
  await page.goto(url)
  await page.waitForSelector('#list button')
  await frames(page)
  return page
}

async function sound(page, label) {
  for (const v of await page.evaluate(() => window.seen.violations)) fail(`${label}: against the policy: ${v}`)
  same(await page.title(), 'crawl of harbor-1', `${label}: the title`)
  same(await page.evaluate(() => document.scripts.length + document.images.length), 2, `${label}: scripts and images`)
  check(await page.evaluate(() => document.scrollingElement.scrollWidth <= innerWidth), `${label}: sideways scroll`)
  if (!await page.evaluate(() => Boolean(window.axe))) await page.evaluate(axe.source)
  const found = await page.evaluate(async () => (await window.axe.run()).violations.map(v => `${v.id}: ${v.help}`))
  for (const f of found) fail(`${label}: axe: ${f}`)
}

await launch(async browser => {
  for (const [n, url] of Object.entries(plan.files)) {
    for (const size of ['desk', 'phone']) {
      for (const theme of themes) {
        const label = `crawl-${n}-${size}-${theme}`
        const c = await context(browser, size, theme)
        const page = await openMap(c, url, label)
        await page.locator('#list button').first().click()
        const name = await page.locator('#list button span').first().innerText()
        same(await page.locator('#detail h2').innerText(), name, `${label}: the node that was chosen in the list`)
        await frames(page)
        await sound(page, label)
        await shot(page, plan, label)
        await c.close()
      }
    }
  }
  const c = await context(browser, 'desk', 'dark')
  const page = await openMap(c, plan.files['1000'], 'crawl')
  const painted = () => page.evaluate(() => {
    const map = document.getElementById('map')
    return new Set(map.getContext('2d').getImageData(0, 0, map.width, map.height).data).size
  })
  check(await painted() > 20, 'the map is empty')
  await page.keyboard.press('/')
  await page.keyboard.type('sentry3')
  await page.waitForFunction(() => !document.getElementById('count').textContent.startsWith('1200 of'))
  check((await page.locator('#list button span').first().innerText()).startsWith('sentry3'), 'the search finds another')
  await page.locator('#find').fill('')
  await page.locator('#reach').selectOption('full')
  same(await page.locator('#count').innerText().then(s => s.split(' ')[0]), '91', 'nodes that are full')
  await page.locator('#reach').selectOption('')
  // A click on a node: what is in the middle of the map is one, or near one.
  await page.keyboard.press('Escape')
  const box = await page.locator('#map').boundingBox()
  let hit = false
  for (let k = 0; k < 60 && !hit; k++) {
    const x = 0.3 + 0.4 * (k % 8) / 8, y = 0.3 + 0.4 * (k / 8) / 8
    await page.mouse.click(box.x + box.width * x, box.y + box.height * y)
    hit = await page.locator('#detail h2').count() > 0
  }
  check(hit, 'no click meets a node')
  await page.mouse.move(box.x + 300, box.y + 300)
  await page.mouse.wheel(0, -600)
  await frames(page)
  await shot(page, plan, 'crawl-1000-near')
  await sound(page, 'crawl, used')
})

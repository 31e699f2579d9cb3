// A node that hangs, stops, refuses and comes back: the page says which, and goes on by itself.
import { readPlan, launch, context, open, live, sound, shot, frames, turn, check, sizes, themes } from './lib.mjs'

const plan = await readPlan()

await launch(async browser => {
  const pages = []
  for (const size of Object.keys(sizes)) {
    for (const theme of themes) {
      if (plan.short && (size === 'desk') === (theme === 'dark')) continue
      const c = await context(browser, size, theme)
      const page = await open(c, plan.nodes[36], { token: plan.token, requests: true })
      pages.push({ page, name: `${size}-${theme}` })
    }
  }
  const all = async work => {
    for (const p of pages) await work(p.page, p.name)
  }
  const says = (page, word) => page.waitForFunction(w => document.getElementById('live').textContent === w, word)
  const text = page => page.locator('#banner').innerText()
  const states = async (mode, word, banner, what) => {
    await turn(plan, 36, mode)
    await all(async (page, name) => {
      await says(page, word)
      const said = await text(page)
      check(banner.test(said), `${what}: the banner says "${said}"`)
      check(!/error|exception|undefined|null|TypeError/i.test(said.replace('error', '')), `${what}: "${said}"`)
      check((await page.title()).startsWith('! '), `${what}: the title is "${await page.title()}"`)
      await frames(page)
      await sound(page, `${what}-${name}`)
      await shot(page, plan, `${what}-${name}`)
    })
  }
  const returns = async mode => {
    await turn(plan, 36, mode)
    await all(async page => {
      await live(page)
      check(await page.locator('#banner').isHidden(), 'the banner stays after the node is back')
      check(!(await page.title()).startsWith('!'), `the title stays "${await page.title()}"`)
    })
  }

  await states('hang', 'no word for 12 s', /has not answered for 12 s.*from \d\d:\d\d:\d\d.*every \d+ s/, 'stale')
  await returns('still')
  await states('busy', 'node refuses',
    /^The node answers 503: the peer store is closed\. Trying again every 2 s\.$/, 'busy')
  await returns('still')
  await states('stop', 'node stopped', /^The node stopped at \d\d:\d\d:\d\d:.*goes on by itself/, 'gone')
  await returns('back')

  // another start of the node: the page loads itself again, and stays in its view
  const { page } = pages[0]
  await page.evaluate(() => {
    location.hash = 'dials'
    window.before = true
  })
  await turn(plan, 36, 'reborn')
  await page.waitForFunction(() => !window.before)
  await live(page)
  check(await page.evaluate(() => location.hash === '#dials'), 'another view after the node was born again')
})

// What the page costs while every one of 500 peers changes each second: at most a second of the main thread in five.
import { readPlan, launch, context, open, check } from './lib.mjs'

const plan = await readPlan()
const most = 1.0, rounds = 3

await launch(async browser => {
  for (const [n, hash] of [[500, '#peers'], [500, '#overview'], [36, '#overview'], [36, '#traffic']]) {
    const c = await context(browser, 'desk', 'light')
    const page = await open(c, plan.nodes[n], { hash, token: plan.token })
    await page.waitForTimeout(2000)
    const cdp = await c.newCDPSession(page)
    await cdp.send('Performance.enable')
    const read = async () => {
      const { metrics } = await cdp.send('Performance.getMetrics')
      return Object.fromEntries(metrics.map(m => [m.name, m.value]))
    }
    const costs = []
    for (let i = 0; i < rounds; i++) {
      const before = await read()
      await page.waitForTimeout(5000)
      const after = await read()
      const of = k => (after[k] - before[k]).toFixed(2)
      costs.push(Number(of('TaskDuration')))
      console.log(`${n} peers, ${hash}: main thread ${of('TaskDuration')} s of 5, script ${of('ScriptDuration')}, ` +
        `layout ${of('LayoutDuration')}, style ${of('RecalcStyleDuration')}`)
    }
    const median = costs.sort((a, b) => a - b)[Math.floor(rounds / 2)]
    check(median <= most, `${n} peers, ${hash}: ${median} s of the main thread in 5 s, more than ${most}`)
    await c.close()
  }
})

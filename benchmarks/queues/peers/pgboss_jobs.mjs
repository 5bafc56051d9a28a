// pg-boss: jobs in a table, finished ones kept. `node pgboss_jobs.mjs prepare|add|work URL COUNT many|one`.

import { setTimeout as pause } from 'node:timers/promises'
import PgBoss from 'pg-boss'

const BATCH = 1000
// Each taker holds one batch, or one job.
const TAKERS = { many: 4, one: 100 }
const QUEUE = 'nothing'

const [command, url, count, how] = process.argv.slice(2)
const boss = new PgBoss({ connectionString: url, max: 10, supervise: command === 'work', schedule: false })
boss.on('error', console.error)
await boss.start()

async function take () {
  while (!stopping) {
    // `work` does the same, and pauses for half a second after each batch.
    const jobs = await boss.fetch(QUEUE, { batchSize: how === 'many' ? BATCH : 1 })
    if (jobs.length) await boss.complete(QUEUE, jobs.map(job => job.id))
    else await pause(500)
  }
}

let stopping = false
if (command === 'prepare') {
  await boss.createQueue(QUEUE)
} else if (command === 'add') {
  const size = how === 'many' ? BATCH : 1
  for (let start = 0; start < count; start += size) {
    if (how === 'many') await boss.insert(Array.from({ length: Math.min(size, count - start) }, () => ({ name: QUEUE })))
    else await boss.send(QUEUE)
  }
} else {
  process.on('SIGTERM', () => { stopping = true })
  await Promise.all(Array.from({ length: TAKERS[how] }, take))
}
await boss.stop({ graceful: false })
process.exit(0)

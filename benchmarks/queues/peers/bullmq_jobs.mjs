// BullMQ: jobs in Redis, finished ones kept. `node bullmq_jobs.mjs add|work URL COUNT many|one`.
// A worker takes one job at a time for each of its slots; batches are for adding.

import { Queue, Worker } from 'bullmq'

const BATCH = 1000
const CONCURRENCY = 100
const QUEUE = 'nothing'

const [command, url, count, how] = process.argv.slice(2)
const connection = { path: url.replace('unix://', ''), maxRetriesPerRequest: null }
if (command === 'add') {
  const queue = new Queue(QUEUE, { connection })
  const size = how === 'many' ? BATCH : 1
  for (let start = 0; start < count; start += size) {
    if (how === 'many') {
      await queue.addBulk(Array.from({ length: Math.min(size, count - start) }, () => ({ name: QUEUE, data: {} })))
    } else {
      await queue.add(QUEUE, {})
    }
  }
  await queue.close()
  process.exit(0)
} else {
  const worker = new Worker(QUEUE, async () => {}, { connection, concurrency: CONCURRENCY })
  process.on('SIGTERM', async () => { await worker.close(); process.exit(0) })
}

// graphile-worker: jobs in a table, finished ones deleted. `node graphile_jobs.mjs prepare|add|work URL COUNT many|one`.

import { Logger, makeWorkerUtils, run } from 'graphile-worker'

const BATCH = 1000
const CONCURRENCY = 24
// As the load tests of its authors.
const BATCHED = { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 }

const [command, url, count, how] = process.argv.slice(2)
const logger = new Logger(() => () => {})
if (command === 'work') {
  const preset = { worker: { concurrentJobs: CONCURRENCY, maxPoolSize: CONCURRENCY + 1, ...(how === 'many' ? BATCHED : {}) } }
  // It stops at SIGTERM by itself.
  const runner = await run({ connectionString: url, preset, logger, taskList: { nothing: async () => {} } })
  await runner.promise
} else {
  const utils = await makeWorkerUtils({ connectionString: url, logger })
  if (command === 'prepare') await utils.migrate()
  const size = how === 'many' ? BATCH : 1
  for (let start = 0; command === 'add' && start < count; start += size) {
    if (how === 'many') {
      await utils.addJobs(Array.from({ length: Math.min(size, count - start) }, () => ({ identifier: 'nothing' })))
    } else {
      await utils.addJob('nothing', {})
    }
  }
  await utils.release()
}
process.exit(0)

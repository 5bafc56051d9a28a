"""Celery on Redis: no history, and what a worker has fetched is lost with it unless it acknowledges late, as here.

`python celery_jobs.py add|work URL [COUNT]`.
"""

import os
import sys

import celery

command, url, *rest = sys.argv[1:]
app = celery.Celery("nothing", broker=url)
app.conf.update(task_ignore_result=True, task_acks_late=True, worker_prefetch_multiplier=64)


@app.task(name="nothing")
def nothing() -> None:
    """Do nothing."""


if command == "add":
    with app.producer_pool.acquire(block=True) as producer:
        for _ in range(int(rest[0])):
            nothing.apply_async(producer=producer)
elif command == "work":
    app.worker_main(["worker", "--loglevel=ERROR", f"--concurrency={os.cpu_count()}", "--without-gossip"])

"""APScheduler 3 with its store in PostgreSQL: a job is deleted as it begins, so what is lost with the process is lost.

`python apscheduler_jobs.py prepare|add|work URL [COUNT]`. One job at a time is added, and deleted.
"""

import signal
import sys

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler

THREADS = 10


def nothing() -> None:
    """Do nothing."""


def main(command: str, url: str, count: int) -> None:
    """Make the table, add jobs, or do them until SIGTERM."""
    store = SQLAlchemyJobStore(url=url.replace("postgresql://", "postgresql+psycopg://"))
    scheduler = BackgroundScheduler(
        jobstores={"default": store},
        executors={"default": ThreadPoolExecutor(THREADS)},
        # However late they are.
        job_defaults={"misfire_grace_time": None},
    )
    scheduler.start(paused=command != "work")
    for _ in range(count):
        scheduler.add_job(nothing)
    if command == "work":
        signal.sigwait({signal.SIGTERM})
        scheduler.shutdown(wait=False)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 0)  # noqa: PLR2004

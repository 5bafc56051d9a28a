"""Works on the jobs of a Rota queue."""

from rota_worker.jobs import GiveUp, Job
from rota_worker.server import Refused, Unreachable
from rota_worker.worker import Worker

__all__ = ["GiveUp", "Job", "Refused", "Unreachable", "Worker"]

"""Runs as the contract writes them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid5

from google.protobuf.json_format import ParseDict
from rota.events.v1 import events_pb2
from rota.scheduler.v1 import allocation_pb2, schedules_pb2
from rota.tasks.v1 import executions_pb2
from rota_chassis.events.log import NewEvent

from rota_scheduler.runs.allocation import ConcurrencyPolicy, WaitReason, allocation_of
from rota_scheduler.runs.domain import End, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from google.protobuf.timestamp_pb2 import Timestamp
    from rota.scheduler.v1 import runs_pb2

    from rota_scheduler.runs.domain import Run

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_S = 86_400
FINISHED_VERSION = 1
_TASK_RUN_STARTED_VERSION = 2
STATUSES = {
    Status.PENDING: schedules_pb2.RUN_STATUS_PENDING,
    Status.RUNNING: schedules_pb2.RUN_STATUS_RUNNING,
    Status.SUCCEEDED: schedules_pb2.RUN_STATUS_SUCCEEDED,
    Status.FAILED: schedules_pb2.RUN_STATUS_FAILED,
    Status.CANCELLED: schedules_pb2.RUN_STATUS_CANCELLED,
}
_TASK_RUN_STATUSES = {
    Status.SUCCEEDED: executions_pb2.TASK_RUN_STATUS_SUCCEEDED,
    Status.FAILED: executions_pb2.TASK_RUN_STATUS_FAILED,
    Status.CANCELLED: executions_pb2.TASK_RUN_STATUS_CANCELLED,
}
POLICIES = {
    ConcurrencyPolicy.QUEUE: allocation_pb2.CONCURRENCY_POLICY_QUEUE,
    ConcurrencyPolicy.CANCEL_IN_PROGRESS: allocation_pb2.CONCURRENCY_POLICY_CANCEL_IN_PROGRESS,
    ConcurrencyPolicy.CANCEL_NEWEST: allocation_pb2.CONCURRENCY_POLICY_CANCEL_NEWEST,
    ConcurrencyPolicy.ROUND_ROBIN: allocation_pb2.CONCURRENCY_POLICY_ROUND_ROBIN,
}
_POLICY_OF = {number: policy for policy, number in POLICIES.items()}
WAIT_REASONS = {
    WaitReason.CONCURRENCY: allocation_pb2.WAIT_REASON_CONCURRENCY,
    WaitReason.RATE_LIMIT: allocation_pb2.WAIT_REASON_RATE_LIMIT,
    WaitReason.RESOURCES: allocation_pb2.WAIT_REASON_RESOURCES,
    WaitReason.RESOURCE_POOL: allocation_pb2.WAIT_REASON_RESOURCE_POOL,
}


def shared_of(request: Any) -> dict[str, Any]:
    """What runs share by a request that orders a run or makes a schedule, beyond the number of their key."""
    return {
        "concurrency_policy": _POLICY_OF.get(request.concurrency_policy, ConcurrencyPolicy.QUEUE),
        "concurrency_group": request.concurrency_group if request.HasField("concurrency_group") else None,
        "rate_limit": rate_of(request),
        "resources": dict(request.resources) or None,
    }


def shares_of_run(request: runs_pb2.CreateRunRequest) -> dict[str, Any]:
    """All that a run shares by a request that orders it, by the fields of `Run`."""
    key = request.concurrency_key if request.HasField("concurrency_key") else None
    return {
        "priority": request.priority,
        "concurrency_key": key,
        "concurrency_limit": request.concurrency_limit or 1,
        "allocation": allocation_of(concurrency_key=key, **shared_of(request)),
    }


def rate_of(request: Any) -> dict[str, int] | None:
    """The rate limit of a request, if it has one."""
    if not request.HasField("rate_limit"):
        return None
    return {"limit": request.rate_limit.limit, "period_s": request.rate_limit.period_s}


def unique_of(request: Any) -> dict[str, Any] | None:
    """Of which key the runs of a request are one in a period, if they are."""
    return {"key": request.unique.key, "period_s": request.unique.period_s} if request.HasField("unique") else None


def run_message(run: Run) -> schedules_pb2.Run:
    """The run as the API shows it."""
    message = schedules_pb2.Run()
    message.id = str(run.id)
    message.schedule_id = str(run.schedule_id)
    message.status = STATUSES[run.status]
    message.attempts = run.attempts
    message.manual = run.manual
    message.priority = run.priority
    message.action_kind = run.kind
    message.workspace_id = str(run.workspace_id)
    _set_time(message.nominal_time, run.nominal_time)
    if run.started_at is not None:
        _set_time(message.started_at, run.started_at)
    if run.finished_at is not None:
        _set_time(message.finished_at, run.finished_at)
    if run.task_id is not None:
        message.task_id = str(run.task_id)
    if run.http_status is not None:
        message.http_status = run.http_status
    if run.error is not None:
        message.error = run.error
    if run.response is not None:
        message.response = run.response
    if run.result is not None:
        ParseDict(run.result, message.result)
    if run.work is not None:
        _fill_progress(message.progress, run.work)
    if run.is_allotted:
        _fill_shared(message, run)
    message.project_ids.extend(run.project_ids)
    return message


def listed(run: Run) -> schedules_pb2.Run:
    """The run as lists show it: without its result, which may be long."""
    return run_message(replace(run, result=None))


def run_finished(run: Run, now: datetime) -> NewEvent:
    """The event that a run has ended; of those that their holders end, `finishing` makes it."""
    return NewEvent(run.workspace_id, run.id, FINISHED_VERSION, events_pb2.RunFinished(run=run_message(run)), now)


def run_ended(run: Run, now: datetime) -> list[NewEvent]:
    """What is told when a run has ended: of a task's action, its task is to know."""
    return [run_finished(run, now), *task_run_ended(run, now)]


def task_runs_started(claimed: Iterable[Run]) -> list[NewEvent]:
    """What tasks are told of runs of their actions that have just been claimed for the first time."""
    return [
        _of_task(
            run,
            events_pb2.TaskRunStarted(
                run=executions_pb2.TaskRun(id=str(run.id), status=executions_pb2.TASK_RUN_STATUS_RUNNING)
            ),
            _TASK_RUN_STARTED_VERSION,
            run.started_at,
        )
        for run in claimed
        if "of_task" in run.action and run.fence == 1
    ]


def task_run_ended(run: Run, now: datetime, end: End | None = None, *, version: int | None = None) -> list[NewEvent]:
    """What the task is told of the end of the run, if it is one of a task's action."""
    if "of_task" not in run.action:
        return []
    status, error = (run.status, run.error) if end is None else (end.status, end.error)
    data = events_pb2.TaskRunEnded(
        run=executions_pb2.TaskRun(id=str(run.id), status=_TASK_RUN_STATUSES[status], error=error)
    )
    _set_time(data.run.finished_at, run.finished_at or now)
    # It may end without having been claimed.
    has_begun = run.fence > 0
    return [_of_task(run, data, version or _TASK_RUN_STARTED_VERSION + has_begun, now)]


def _of_task(
    run: Run, data: events_pb2.TaskRunStarted | events_pb2.TaskRunEnded, version: int, now: datetime | None
) -> NewEvent:
    of_task = run.action["of_task"]
    data.task_id, data.action_id = of_task["task_id"], of_task["action_id"]
    if run.started_at is not None:
        _set_time(data.run.started_at, run.started_at)
    # Of the run, but not one of its versions.
    task_run_id = uuid5(run.id, "task_run")
    return NewEvent(run.workspace_id, task_run_id, version, data, now, causation_depth=of_task["causation_depth"])


def _fill_shared(message: schedules_pb2.Run, run: Run) -> None:
    allocation = run.allocation or {}
    if run.concurrency_key is not None:
        message.concurrency_key = run.concurrency_key
        message.concurrency_limit = run.concurrency_limit
        message.concurrency_policy = POLICIES[allocation.get("policy") or ConcurrencyPolicy.QUEUE]
    if "group" in allocation:
        message.concurrency_group = allocation["group"]
    if "rate" in allocation:
        message.rate_limit.CopyFrom(allocation_pb2.RateLimit(**allocation["rate"]))
    message.resources.update(allocation.get("resources") or {})


def _fill_progress(message: schedules_pb2.RunProgress, said: Mapping[str, Any]) -> None:
    if "percent" in said:
        message.percent = said["percent"]
    message.message = said.get("message") or ""
    message.worker = said.get("worker") or ""
    _set_time(message.reported_at, datetime.fromisoformat(said["reported_at"]))


def _set_time(stamp: Timestamp, value: datetime) -> None:
    # `FromDatetime` takes several times as long.
    since = value - _EPOCH
    stamp.seconds = since.days * _DAY_S + since.seconds
    stamp.nanos = since.microseconds * 1000

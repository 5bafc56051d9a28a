"""The action `cleanup`: what is over is removed, some at a time.

Two at once remove different things, or find them removed; dying in between leaves the rest to the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rota.auth.v1 import auth_pb2, auth_pb2_grpc
from rota.events.v1 import inbox_pb2, inbox_pb2_grpc
from rota.tasks.v1 import requests_pb2, requests_pb2_grpc, trash_pb2, trash_pb2_grpc
from rota_chassis.errors import RotaError
from rota_chassis.events.inbox import FORGET_HANDLED, INBOX_KEPT
from rota_chassis.postgres.statements import statement
from sqlalchemy import DateTime, Integer, bindparam, delete, func, select, tuple_

from rota_scheduler.actions.failures import failed_call
from rota_scheduler.executions import store as executions
from rota_scheduler.ledger.store import SKIPS
from rota_scheduler.origins import ORIGINS
from rota_scheduler.rules.store import LOG
from rota_scheduler.runs.calls import REQUESTS
from rota_scheduler.runs.domain import Succeeded
from rota_scheduler.workflows.fanout import ITEMS
from rota_scheduler.workflows.tables import ACTIONS, RUNS, SIGNALS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import timedelta

    import grpc
    from rota_chassis.clock import Clock
    from rota_chassis.postgres.database import Database
    from rota_chassis.postgres.statements import Statement
    from sqlalchemy import ColumnElement, Table

    from rota_scheduler.runs.domain import Outcome, Run

BATCH = 1_000
ROUNDS = 500
"""Batches that one run removes at most; the next goes on."""
CALL_TIMEOUT_S = 20.0
_HORIZON = bindparam("horizon", type_=DateTime(timezone=True))
_LIMIT = bindparam("limit", type_=Integer)


def _forget(table: Table, age: ColumnElement[bool]) -> Statement:
    key = [column for column in table.c if column.primary_key]
    old = select(*key).where(age).limit(_LIMIT).with_for_update(skip_locked=True)
    return statement(delete(table).where(tuple_(*key).in_(old)))


_OLD_RUNS = (
    select(RUNS.c.workspace_id, RUNS.c.id)
    .where(RUNS.c.finished_at < _HORIZON)
    .limit(_LIMIT)
    .with_for_update(skip_locked=True)
    .cte("old")
)
_FORGET_ACTIONS = (
    delete(ACTIONS)
    .where(ACTIONS.c.workspace_id == _OLD_RUNS.c.workspace_id, ACTIONS.c.workflow_run_id == _OLD_RUNS.c.id)
    .cte("forget_actions")
)
_FORGET_SIGNALS = (
    delete(SIGNALS)
    .where(SIGNALS.c.workspace_id == _OLD_RUNS.c.workspace_id, SIGNALS.c.workflow_run_id == _OLD_RUNS.c.id)
    .cte("forget_signals")
)
_FORGET_ITEMS = (
    delete(ITEMS)
    .where(ITEMS.c.workspace_id == _OLD_RUNS.c.workspace_id, ITEMS.c.workflow_run_id == _OLD_RUNS.c.id)
    .cte("forget_items")
)
_FORGET_RUNS = statement(
    delete(RUNS)
    .where(RUNS.c.workspace_id == _OLD_RUNS.c.workspace_id, RUNS.c.id == _OLD_RUNS.c.id)
    .add_cte(_FORGET_ACTIONS, _FORGET_SIGNALS, _FORGET_ITEMS)
)
_FORGET_SKIPS = _forget(SKIPS, func.coalesce(SKIPS.c.through, SKIPS.c.nominal_time) < _HORIZON)
_FORGET_LOG = _forget(LOG, LOG.c.created_at < _HORIZON)
_FORGET_ORIGINS = _forget(ORIGINS, ORIGINS.c.created_at < _HORIZON)
_FORGET_REQUESTS = _forget(REQUESTS, REQUESTS.c.created_at < _HORIZON)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How long the scheduler keeps what is over: skipped times, logs of rules, runs of workflows after their end."""

    ledger: timedelta
    rule_log: timedelta
    workflow_runs: timedelta


class CleanUp:
    """Removes what is over."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        auth: grpc.aio.Channel,
        tasks: grpc.aio.Channel,
        notifications: grpc.aio.Channel,
        kept: Kept,
    ) -> None:
        self._database = database
        self._clock = clock
        self._auth = auth_pb2_grpc.AuthServiceStub(auth)
        self._trash = trash_pb2_grpc.TrashServiceStub(tasks)
        self._requests = requests_pb2_grpc.RequestServiceStub(tasks)
        self._forgets = (
            (_FORGET_SKIPS, kept.ledger),
            (_FORGET_ORIGINS, kept.ledger),
            (_FORGET_LOG, kept.rule_log),
            (_FORGET_RUNS, kept.workflow_runs),
            # A run that is over for so long is gone, and its request can only be answered by it.
            (_FORGET_REQUESTS, kept.ledger),
            (FORGET_HANDLED, INBOX_KEPT),
        )
        self._inboxes = tuple(inbox_pb2_grpc.InboxServiceStub(each) for each in (tasks, notifications))

    async def __call__(self, run: Run) -> Outcome:
        """Remove what the run is to remove; says how much it was."""
        removes: dict[str, Callable[[], Awaitable[int]]] = {
            "trash": self._purge_trash,
            "sessions": self._purge_sessions,
            "history": self._forget_history,
        }
        remove, removed = removes[run.parameters["what"]], 0
        try:
            for _ in range(ROUNDS):
                batch = await remove()
                if batch == 0:
                    break
                removed += batch
        except RotaError as error:
            return failed_call(error)
        return Succeeded(response=f"{removed} removed")

    async def _purge_trash(self) -> int:
        answer = await self._trash.PurgeTrash(trash_pb2.PurgeTrashRequest(limit=BATCH), timeout=CALL_TIMEOUT_S)
        return int(answer.purged)

    async def _purge_sessions(self) -> int:
        answer = await self._auth.PurgeSessions(auth_pb2.PurgeSessionsRequest(limit=BATCH), timeout=CALL_TIMEOUT_S)
        return int(answer.purged)

    async def _forget_history(self) -> int:
        forgotten, now = 0, self._clock.now()
        for forget, kept in self._forgets:
            async with self._database.transaction() as work:
                forgotten += await work.execute(forget, horizon=now - kept, limit=BATCH)
        async with self._database.transaction() as work:
            forgotten += await executions.forget_secrets(work, before=now - INBOX_KEPT, limit=BATCH)
        for inbox in self._inboxes:
            answer = await inbox.ForgetHandledEvents(
                inbox_pb2.ForgetHandledEventsRequest(limit=BATCH), timeout=CALL_TIMEOUT_S
            )
            forgotten += int(answer.forgotten)
        requests = await self._requests.ForgetRequests(
            requests_pb2.ForgetRequestsRequest(limit=BATCH), timeout=CALL_TIMEOUT_S
        )
        return forgotten + int(requests.forgotten)

"""Puts the scheduler together."""

from __future__ import annotations

import logging
import random
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from rota.scheduler.v1 import (
    allocation_pb2_grpc,
    calendars_pb2_grpc,
    rules_pb2_grpc,
    runs_pb2_grpc,
    schedules_pb2_grpc,
    series_pb2_grpc,
    task_actions_pb2_grpc,
    workers_pb2_grpc,
    workflows_pb2_grpc,
)
from rota_chassis.events.consumer import Consumer
from rota_chassis.memberships import Memberships
from rota_chassis.private_projects import PrivateProjects
from rota_chassis.service import Service

from rota_scheduler.actions.cleanup import CleanUp, Kept
from rota_scheduler.actions.egress import EgressPolicy
from rota_scheduler.actions.http import CallHttp, open_client
from rota_scheduler.actions.tasks import ActOnTasks
from rota_scheduler.actions.telling import Tell
from rota_scheduler.actions.workflow import StartWorkflow
from rota_scheduler.calendars.dependencies import Calendars
from rota_scheduler.calendars.following import follow_calendars
from rota_scheduler.calendars.servicer import CalendarServicer
from rota_scheduler.concurrency_keys.servicer import ConcurrencyKeyServicer
from rota_scheduler.executions import handlers as execution_handlers
from rota_scheduler.executions.firing import Executions, fire_task_actions
from rota_scheduler.executions.servicer import TaskActionServicer
from rota_scheduler.queues.dependencies import Queues
from rota_scheduler.queues.losing import Losing
from rota_scheduler.queues.servicer import WorkerServicer
from rota_scheduler.queues.waiting import Waiting
from rota_scheduler.resource_pools.dependencies import ResourcePools
from rota_scheduler.resource_pools.servicer import ResourcePoolServicer
from rota_scheduler.rules import handlers as rule_handlers
from rota_scheduler.rules.dependencies import Rules
from rota_scheduler.rules.servicer import RuleServicer
from rota_scheduler.runs.commands import start_waiting
from rota_scheduler.runs.dependencies import Runs
from rota_scheduler.runs.history import keep_history
from rota_scheduler.runs.servicer import RunServicer
from rota_scheduler.runs.wake import Wake
from rota_scheduler.runs.worker import Worker
from rota_scheduler.schedules.dependencies import Schedules
from rota_scheduler.schedules.firing import fire_schedules
from rota_scheduler.schedules.servicer import ScheduleServicer
from rota_scheduler.schedules.system import ensure_system_schedules
from rota_scheduler.schedules.zone_data import follow_zone_data
from rota_scheduler.series import handlers as series_handlers
from rota_scheduler.series.firing import SeriesTimes, fire_series
from rota_scheduler.series.servicer import SeriesTimesServicer
from rota_scheduler.settings import SchedulerSettings
from rota_scheduler.ticker import Ticker, until_available
from rota_scheduler.timers import handlers
from rota_scheduler.timers.firing import Timers, fire_timers
from rota_scheduler.workflows import engine, listening
from rota_scheduler.workflows.dependencies import Workflows
from rota_scheduler.workflows.servicer import WorkflowServicer
from rota_scheduler.workflows.trees import Limits

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from uuid import UUID

    from rota_chassis.events.consumer import Handler
    from rota_chassis.events.envelope import Event
    from rota_chassis.postgres.work import UnitOfWork
    from rota_chassis.service import Runtime


async def build(runtime: Runtime[SchedulerSettings]) -> None:
    """Add the servicer, the timers, the schedules and the worker to the runtime."""
    # It logs every URL it calls, and URLs of actions may hold secrets.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    memberships = Memberships(runtime.database, runtime.channels["auth"])
    projects = _private_projects(runtime, memberships)
    egress = EgressPolicy(allow_private=runtime.settings.private_addresses_allowed)
    client = open_client(egress)
    on_tasks, tell = (
        ActOnTasks(runtime.channels["tasks"], runtime.tokens, runtime.database),
        Tell(memberships, runtime.database),
    )
    others, waiting = Wake(runtime.nats), Waiting(runtime.database, runtime.clock)

    def released() -> None:
        waiting.wake()
        others.tell()

    worker = Worker(
        runtime.database,
        runtime.clock,
        {
            "create_task": on_tasks.create_task,
            "http": CallHttp(client),
            "task": on_tasks.task,
            "notify": tell.notify,
            "event": tell.event,
            "workflow": StartWorkflow(lambda: workflows),
            "cleanup": CleanUp(
                runtime.database,
                runtime.clock,
                auth=runtime.channels["auth"],
                tasks=runtime.channels["tasks"],
                notifications=runtime.channels["notifications"],
                kept=Kept(
                    ledger=timedelta(days=runtime.settings.run_history_days),
                    rule_log=timedelta(days=runtime.settings.rule_log_days),
                    workflow_runs=timedelta(days=runtime.settings.workflow_run_days),
                ),
            ),
        },
        slots=runtime.settings.run_slots,
        on_runs=released,
    )

    def on_others() -> None:
        worker.wake()
        waiting.wake()

    def on_runs() -> None:
        on_others()
        others.tell()

    async def execute_runs() -> None:
        async with client:
            await worker.run()

    async def fire() -> None:
        await until_available(
            partial(ensure_system_schedules, runtime.database, runtime.clock, on_due=firing.wake), "system_schedules"
        )
        await until_available(
            partial(follow_zone_data, runtime.database, runtime.clock, on_due=firing.wake), "zone_data"
        )
        await firing.run()

    timers = Ticker("timers", partial(fire_timers, Timers(runtime.database, runtime.clock)), runtime.clock)
    firing = Ticker("schedules", lambda: fire_schedules(schedules), runtime.clock)
    schedules = Schedules(
        runtime.database,
        memberships,
        runtime.clock,
        egress,
        on_due=firing.wake,
        on_runs=on_runs,
        on_terminated=worker.renew_now,
        room=worker.room,
        begin=worker.begin,
    )
    runtime.serve(
        schedules_pb2_grpc.add_ScheduleServiceServicer_to_server, ScheduleServicer(schedules, runtime.page_tokens)
    )
    _serve_calendars(runtime, memberships, firing)
    waits = Ticker("workflows", lambda: engine.wake_runs(workflows), runtime.clock)
    workflows = Workflows(
        runtime.database,
        memberships,
        projects,
        runtime.clock,
        egress,
        on_waits=waits.wake,
        on_runs=on_runs,
        limits=Limits(runtime.settings.workflow_tree_runs, runtime.settings.workflow_tree_depth),
    )
    runtime.serve(
        workflows_pb2_grpc.add_WorkflowServiceServicer_to_server, WorkflowServicer(workflows, runtime.page_tokens)
    )
    _serve_runs(
        runtime,
        Runs(runtime.database, memberships, runtime.clock, egress, on_runs=on_runs, on_terminated=worker.renew_now),
    )
    _serve_queues(runtime, Queues(runtime.database, memberships, runtime.clock, waiting, random.uniform, on_runs))
    _serve_allocation(runtime, ResourcePools(runtime.database, memberships, runtime.clock, on_runs))
    rules = Rules(runtime.database, memberships, projects, runtime.nats, runtime.clock, egress, on_runs=on_runs)
    _serve_rules(runtime, rules, workflows)

    series = _serve_series(runtime)

    actions = _serve_task_actions(runtime, Executions(runtime.database, memberships, runtime.clock, egress, on_runs))

    def wake() -> None:
        for each in (timers, series, waits, worker, waiting, actions):
            each.wake()

    runtime.consume(
        {
            **memberships.handlers(),
            **_both(handlers.handlers(), execution_handlers.handlers(runtime.clock, projects)),
            **series_handlers.handlers(),
            **engine.handlers(workflows),
        },
        after_commit=wake,
    )
    runtime.background("timers", timers.run)
    runtime.background("series", series.run)
    runtime.background("schedules", fire)
    runtime.background("workflows", waits.run)
    runtime.background("runs", execute_runs)
    runtime.background("wake", partial(others.run, on_others))
    runtime.background(
        "history", partial(keep_history, runtime.database, runtime.clock, days=runtime.settings.run_history_days)
    )


def _private_projects(runtime: Runtime[SchedulerSettings], memberships: Memberships) -> PrivateProjects:
    projects = PrivateProjects(
        runtime.name,
        database=runtime.database,
        memberships=memberships,
        tasks=runtime.channels["tasks"],
        nats=runtime.nats,
    )
    runtime.background("access", projects.run)
    return projects


def _serve_rules(runtime: Runtime[SchedulerSettings], rules: Rules, workflows: Workflows) -> None:
    """What events of the workspace set off: rules, and steps of workflows that wait for them, in one transaction."""
    runtime.serve(rules_pb2_grpc.add_RuleServiceServicer_to_server, RuleServicer(rules, runtime.page_tokens))
    of_rules, of_workflows = rule_handlers.handlers(rules), listening.handlers(workflows)

    async def handle(work: UnitOfWork, event: Event) -> None:
        await of_rules[event.type](work, event)
        await of_workflows[event.type](work, event)

    async def concerned(events: Sequence[Event]) -> Collection[UUID]:
        return {*await rule_handlers.concerned(rules, events), *await listening.concerned(workflows, events)}

    def set_off() -> None:
        workflows.on_waits()
        workflows.on_runs()

    consumer = Consumer(
        rule_handlers.CONSUMER,
        dict.fromkeys(of_rules, handle),
        database=runtime.database,
        nats=runtime.nats,
        concerned=concerned,
        after_commit=set_off,
    )
    runtime.background("rules", consumer.run)


def _serve_calendars(runtime: Runtime[SchedulerSettings], memberships: Memberships, firing: Ticker) -> None:
    ticker = Ticker("calendars", lambda: follow_calendars(calendars), runtime.clock)
    calendars = Calendars(runtime.database, memberships, runtime.clock, on_changed=ticker.wake, on_due=firing.wake)
    runtime.serve(
        calendars_pb2_grpc.add_CalendarServiceServicer_to_server, CalendarServicer(calendars, runtime.page_tokens)
    )
    runtime.background("calendars", ticker.run)


def _both(first: Mapping[str, Handler], second: Mapping[str, Handler]) -> Mapping[str, Handler]:
    """Handlers of two kinds; of the same events, one after the other."""

    def handling(name: str) -> Handler:
        async def handle(work: UnitOfWork, event: Event) -> None:
            await first[name](work, event)
            await second[name](work, event)

        return handle

    return {**first, **second, **{name: handling(name) for name in first.keys() & second.keys()}}


def _serve_runs(runtime: Runtime[SchedulerSettings], runs: Runs) -> None:
    runtime.serve(runs_pb2_grpc.add_RunServiceServicer_to_server, RunServicer(runs, runtime.page_tokens))
    runtime.background("waiting_runs", Ticker("waiting_runs", partial(start_waiting, runs), runtime.clock).run)


def _serve_task_actions(runtime: Runtime[SchedulerSettings], executions: Executions) -> Ticker:
    runtime.serve(task_actions_pb2_grpc.add_TaskActionServiceServicer_to_server, TaskActionServicer(executions))
    ticker = Ticker("task_actions", partial(fire_task_actions, executions), runtime.clock)
    runtime.background("task_actions", ticker.run)
    return ticker


def _serve_queues(runtime: Runtime[SchedulerSettings], queues: Queues) -> None:
    runtime.serve(workers_pb2_grpc.add_WorkerServiceServicer_to_server, WorkerServicer(queues, runtime.page_tokens))
    runtime.background("queues", queues.waiting.run)
    runtime.background("lost_jobs", Ticker("lost_jobs", Losing(queues).tick, runtime.clock).run)


def _serve_series(runtime: Runtime[SchedulerSettings]) -> Ticker:
    times = SeriesTimes(runtime.database, runtime.clock)
    runtime.serve(series_pb2_grpc.add_SeriesTimesServiceServicer_to_server, SeriesTimesServicer(times))
    return Ticker("series", partial(fire_series, times), runtime.clock)


def _serve_allocation(runtime: Runtime[SchedulerSettings], pools: ResourcePools) -> None:
    runtime.serve(
        allocation_pb2_grpc.add_ResourcePoolServiceServicer_to_server, ResourcePoolServicer(pools, runtime.page_tokens)
    )
    runtime.serve(
        allocation_pb2_grpc.add_ConcurrencyKeyServiceServicer_to_server,
        ConcurrencyKeyServicer(pools, runtime.page_tokens),
    )


SERVICE = Service("scheduler", SchedulerSettings, build)

"""What conditions of rules know of an event."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from buf.validate import validate_pb2
from rota.events.v1 import events_pb2
from rota.scheduler.v1 import rules_pb2, workflows_pb2
from rota.tasks.v1 import tasks_pb2
from rota_chassis.codec.words import enum_words
from rota_chassis.errors import InvalidArgument
from rota_chassis.events.envelope import Event
from rota_chassis.events.types import event_type_of
from rota_chassis.filters.literals import Context
from rota_chassis.ids import uuid7
from rota_scheduler.rules.domain import Rule
from rota_scheduler.rules.facts import EVENT_TYPES, Facts, check_condition, lets_through

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
OWNER, ADA, PROJECT = UUID(int=1), UUID(int=2), UUID(int=3)


def rule(condition: str, **members: Any) -> Rule:
    given = {
        "id": uuid7(),
        "workspace_id": uuid7(),
        "name": "r",
        "events": EVENT_TYPES,
        "condition": condition,
        "actions": (),
        "active_since": NOW,
        "window_started_at": NOW,
        "owner_id": OWNER,
        "created_by": OWNER,
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Rule(**given | members)


def event(data: Any, actor: str = "system") -> Event:
    return Event(
        id=uuid7(),
        type=event_type_of(type(data)).name,
        source="/rota/tasks",
        workspace_id=uuid7(),
        aggregate_id=PROJECT,
        aggregate_version=1,
        actor=actor,
        time=NOW,
        data=data,
    )


def task(**fields: Any) -> tasks_pb2.Task:
    found = tasks_pb2.Task(
        **{
            "id": str(uuid7()),
            "title": "Water the plants",
            "status": tasks_pb2.TASK_STATUS_TODO,
            "priority": tasks_pb2.TASK_PRIORITY_HIGH,
            "project_id": str(PROJECT),
            "assignee_ids": [str(ADA)],
            "created_by": str(OWNER),
        }
        | fields
    )
    found.due_at.FromDatetime(datetime(2026, 5, 5, tzinfo=UTC))
    return found


UPDATED = events_pb2.TaskUpdated(task=task(), changes=[events_pb2.FieldChange(field="priority")])


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("", True),
        ("priority >= high AND title:plants", True),
        ("priority = urgent", False),
        ("due_at < now+2d", True),
        ("due_at < now", False),
        (f"assignee = {ADA}", True),
        ("assignee = me", False),
        ("created_by = me", True),
        ("changed(priority)", True),
        ("changed = priority AND NOT changed(status)", True),
        ("changed(due_at)", False),
        (f"actor = {ADA}", True),
        ("actor != me", True),
        ("parent_id IS NULL AND estimate_s IS NULL", True),
    ],
)
def test_a_condition_asks_the_task_as_the_event_tells_it(condition: str, holds: bool) -> None:  # noqa: FBT001
    assert lets_through(rule(condition), Facts.of(event(UPDATED, f"user:{ADA}"))) is holds


@pytest.mark.parametrize(
    ("data", "condition"),
    [
        (events_pb2.TaskCompleted(task=task()), "changed(status)"),
        (events_pb2.TaskAssigned(task=task()), "changed(assignee_ids)"),
        (events_pb2.TaskCreated(task=task()), "NOT changed(status)"),
        (events_pb2.CustomPublished(name="custom.plants.thirsty"), 'name = "custom.plants.thirsty" AND actor IS NULL'),
        (events_pb2.ReminderFired(kind=events_pb2.REMINDER_KIND_DUE, title="x"), "kind = due"),
        (events_pb2.RunFinished(), "status IS NULL"),
        (
            events_pb2.WorkflowRunFinished(
                workflow_run=workflows_pb2.WorkflowRun(status=workflows_pb2.WORKFLOW_RUN_STATUS_FAILED)
            ),
            "status = failed",
        ),
        (events_pb2.CommentCreated(task_title="Plants"), "task_title:plants AND mentioned IS NULL"),
    ],
    ids=["completed", "assigned", "created", "custom", "reminder", "nothing-known", "workflow", "comment"],
)
def test_each_kind_of_event_has_members_of_its_own(data: Any, condition: str) -> None:
    assert lets_through(rule(condition), Facts.of(event(data)))


def test_a_rule_of_a_project_hears_of_its_tasks_and_of_itself_only() -> None:
    mine, other = rule("", project_id=PROJECT), rule("", project_id=uuid7())
    for data in (UPDATED, events_pb2.ProjectUpdated()):
        assert lets_through(mine, Facts.of(event(data)))
        assert not lets_through(other, Facts.of(event(data)))
    assert not lets_through(mine, Facts.of(event(events_pb2.TaskCreated())))


@pytest.mark.parametrize(
    ("condition", "position"),
    [
        ("priority >= enormous", "12"),
        ("title = 'a' AND colour = red", "16"),
        ("changed(colour)", "8"),
        ("priority", "8"),
        ("label = urgent", "0"),
    ],
)
def test_a_condition_that_will_not_do_is_refused_with_its_position(condition: str, position: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_condition(condition, ("task.updated",), Context(now=NOW))
    assert caught.value.code == "INVALID_FILTER"
    assert caught.value.metadata["position"] == position


def test_a_condition_must_suit_every_type_of_event() -> None:
    check_condition("created_by = me", ("task.created", "project.created"), Context(now=NOW, me=OWNER))
    with pytest.raises(InvalidArgument, match="position 0"):
        check_condition("priority = high", ("task.created", "project.created"), Context(now=NOW))


def test_expressions_know_the_event_and_the_rule() -> None:
    known = Facts.of(event(UPDATED, f"user:{ADA}")).variables(replace(rule(""), name="Mine"))
    assert known["rule"]["name"] == "Mine"
    assert known["event"]["type"] == "task.updated"
    assert known["event"]["time"] == "2026-05-04T12:00:00Z"
    assert known["event"]["data"]["task"]["priority"] == "high"
    assert known["event"]["data"]["changes"][0]["field"] == "priority"


@pytest.mark.parametrize("message", [rules_pb2.CreateRuleRequest, rules_pb2.UpdateRuleRequest])
def test_the_contract_names_the_types_that_rules_may_wait_for(message: Any) -> None:
    says = message.DESCRIPTOR.fields_by_name["on"].GetOptions().Extensions[validate_pb2.field]
    assert tuple(getattr(says.repeated.items.string, "in")) == EVENT_TYPES


def test_the_words_of_a_status_are_those_of_tasks() -> None:
    for word in enum_words(tasks_pb2.TaskStatus.DESCRIPTOR):
        check_condition(f"status >= {word}", ("task.created",), Context(now=NOW))

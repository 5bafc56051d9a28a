"""Rules on real servers: events in, actions taken, logs told of."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import nats
import orjson
import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct
from rota.events.v1 import events_pb2
from rota.scheduler.v1 import rules_pb2, rules_pb2_grpc, workflows_pb2, workflows_pb2_grpc
from rota.tasks.v1 import tasks_pb2, tasks_pb2_grpc
from rota_chassis.errors import (
    Conflict,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    PreconditionFailed,
    RotaError,
    Unprocessable,
)
from rota_chassis.events import envelope
from rota_chassis.events.types import event_type_of
from rota_chassis.identity import Principal, current_principal
from rota_chassis.ids import uuid7
from rota_chassis.testing.services import User
from rota_chassis.testing.streams import stored_events
from rota_chassis.testing.tasks import a_project
from rota_chassis.testing.waiting import eventually
from rota_scheduler.rules.domain import MAX_RULES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from integration.conftest import RunBeside
    from rota_chassis.testing.auth import SmallAuth
    from rota_chassis.testing.tokens import TokenIssuer

FIRED, TOO_DEEP = rules_pb2.RULE_OUTCOME_FIRED, rules_pb2.RULE_OUTCOME_TOO_DEEP
CREATE = {"create_task": {"title": "Look at ${event.data.task.title}"}}


class Tasks(tasks_pb2_grpc.TaskServiceServicer):
    """Keeps the titles, and who asked for them."""

    def __init__(self) -> None:
        self.made: list[tuple[str, Principal | None]] = []

    async def CreateTask(  # noqa: N802 (named by the contract)
        self, request: tasks_pb2.CreateTaskRequest, _context: Any
    ) -> tasks_pb2.CreateTaskResponse:
        self.made.append((request.title, current_principal()))
        return tasks_pb2.CreateTaskResponse(task=tasks_pb2.Task(id=str(uuid7()), title=request.title))


class World:
    """A scheduler, an owner, a viewer of the owner's workspace, and a stranger."""

    def __init__(self, issuer: TokenIssuer, auth: Any) -> None:
        self.tasks, self.auth = Tasks(), auth
        self.owner, self.viewer, self.stranger = User(issuer), User(issuer), User(issuer)
        for user in (self.owner, self.viewer, self.stranger):
            auth.add_user(user)
        auth.add_member(self.owner.workspace_id, self.viewer.id, role="viewer")
        self.stub: Any = None
        self.workflows: Any = None
        self.nats: Any = None

    async def create(self, *actions: dict[str, Any], user: User | None = None, **members: Any) -> rules_pb2.Rule:
        request = rules_pb2.CreateRuleRequest(**{"name": "Rule", "on": ["task.created"]} | members)
        request.actions.extend(ParseDict(action, Struct()) for action in actions or (CREATE,))
        return (await self.stub.CreateRule(request, metadata=(user or self.owner).metadata)).rule

    async def update(
        self, rule: rules_pb2.Rule, *, user: User | None = None, if_match: str = "", **members: Any
    ) -> Any:
        request = rules_pb2.UpdateRuleRequest(id=rule.id, if_match=if_match, **members)
        request.update_mask.paths.extend(members)
        return (await self.stub.UpdateRule(request, metadata=(user or self.owner).metadata)).rule

    async def log(self, rule: rules_pb2.Rule, **fields: Any) -> rules_pb2.ListRuleLogResponse:
        request = rules_pb2.ListRuleLogRequest(id=rule.id, **fields)
        return await self.stub.ListRuleLog(request, metadata=self.owner.metadata)

    async def dry_run(self, rule: rules_pb2.Rule, user: User | None = None, **fields: Any) -> Any:
        request = rules_pb2.DryRunRuleRequest(id=rule.id, **fields)
        return await self.stub.DryRunRule(request, metadata=(user or self.owner).metadata)

    async def publish(self, data: Any, *, depth: int = 0, version: int = 1) -> str:
        """Publish an event as its service would; its id."""
        kind, event_id = event_type_of(type(data)), uuid7()
        row = {
            "id": event_id,
            "type": kind.name,
            "workspace_id": self.owner.workspace_id,
            "aggregate_id": uuid7(),
            "aggregate_version": version,
            "actor": f"user:{self.owner.id}",
            "time": datetime.now(UTC),
            "traceparent": None,
            "causation_depth": depth,
        }
        await self.nats.jetstream().publish(
            envelope.subject(self.owner.workspace_id, kind.name),
            orjson.dumps(kind.encode(data)),
            headers=envelope.headers(row, "/rota/tasks"),
        )
        return str(event_id)

    async def publish_task(self, title: str, *, project_id: str | None = None, **options: Any) -> str:
        task = tasks_pb2.Task(id=str(uuid7()), title=title, created_by=str(self.owner.id), project_id=project_id)
        return await self.publish(events_pb2.TaskCreated(task=task), **options)


@pytest.fixture
async def world(
    auth: SmallAuth, issuer: TokenIssuer, fresh_nats_url: str, run_beside: RunBeside
) -> AsyncIterator[World]:
    """Everything, running."""
    world = World(issuer, auth)
    channel = await run_beside(world.tasks)
    world.stub = rules_pb2_grpc.RuleServiceStub(channel)
    world.workflows = workflows_pb2_grpc.WorkflowServiceStub(channel)
    world.nats = await nats.connect(fresh_nats_url)
    yield world
    await world.nats.close()


async def test_an_event_sets_a_rule_off_and_its_actions_are_taken_for_its_owner(world: World) -> None:
    rule = await world.create(when='title:"plants"')
    await world.publish_task("Water the basil")
    event_id = await world.publish_task("Water the plants", depth=2)

    async def told() -> Any:
        return (await world.log(rule)).entries if world.tasks.made else None

    (entry,) = await eventually(told)
    assert (entry.event_id, entry.event_type, entry.outcome, entry.depth) == (event_id, "task.created", FIRED, 2)
    ((title, principal),) = world.tasks.made
    assert title == "Look at Water the plants"
    assert principal == Principal(
        user_id=world.owner.id, workspace_id=world.owner.workspace_id, service="scheduler", causation_depth=3
    )


async def test_two_rules_that_set_off_each_other_come_to_an_end(world: World) -> None:
    ping, pong = ({"event": {"type": word}} for word in ("ping", "pong"))
    first = await world.create(pong, on=["custom.published"], when='name = "custom.ping"')
    second = await world.create(ping, on=["custom.published"], when='name = "custom.pong"')
    await world.publish(events_pb2.CustomPublished(name="custom.ping"))

    async def ended() -> Any:
        entries = [*(await world.log(first)).entries, *(await world.log(second)).entries]
        return entries if any(entry.outcome == TOO_DEEP for entry in entries) else None

    entries = await eventually(ended)
    assert sorted((entry.depth, entry.outcome) for entry in entries) == [
        *((depth, FIRED) for depth in range(5)),
        (5, TOO_DEEP),
    ]
    published = [
        event.data
        for event in await stored_events(world.nats)
        if event.type == "custom.published" and event.data.run_id
    ]
    assert [event.name for event in published] == ["custom.pong", "custom.ping"] * 2 + ["custom.pong"]
    assert {event.rule_id for event in published} == {first.id, second.id}
    assert {event.schedule_id for event in published} == {""}


async def test_a_rule_and_a_workflow_that_set_off_each_other_come_to_an_end(world: World) -> None:
    create = workflows_pb2.CreateWorkflowRequest(name="Round")
    told = {"action": {"event": {"type": "round", "data": {"depth": "${input}"}}}}
    ParseDict({"steps": {"told": told}, "output": "done"}, create.definition)
    workflow = (await world.workflows.CreateWorkflow(create, metadata=world.owner.metadata)).workflow
    start = {"workflow": {"workflow_id": workflow.id, "input": "${event.data.workflow_run.output}"}}
    rule = await world.create(start, on=["workflow_run.finished"], when="status = succeeded")
    request = workflows_pb2.StartWorkflowRequest(id=workflow.id)
    await world.workflows.StartWorkflow(request, metadata=world.owner.metadata)

    async def ended() -> Any:
        entries = (await world.log(rule)).entries
        return entries if any(entry.outcome == TOO_DEEP for entry in entries) else None

    entries = await eventually(ended, timeout_s=30)
    assert sorted(entry.depth for entry in entries) == [0, 1, 2, 3, 4, 5]


async def test_a_dry_run_says_what_would_be_done_and_does_nothing(world: World) -> None:
    await world.publish_task("Water the basil")
    plants = await world.publish_task("Water the plants")
    deep = await world.publish_task("Water more plants", depth=5)
    secret = {"name": "Authorization", "value": "Bearer x", "sensitive": True}
    call = {"http": {"url": "https://example.com", "headers": [secret]}}
    rule = await world.create(CREATE, call, {"create_task": {"title": "${event.data.x}"}}, when='title:"plants"')
    await world.update(rule, enabled=False)
    found = await world.dry_run(rule)
    assert (found.examined, found.matched, found.truncated) == (3, 2, False)
    assert [match.event_id for match in found.matches] == [plants, deep]
    assert [match.too_deep for match in found.matches] == [False, True]
    first = MessageToDict(found.matches[0], preserving_proto_field_name=True)
    assert first["actions"][0]["create_task"]["title"] == "Look at Water the plants"
    assert first["actions"][1]["http"]["headers"][0]["value"] == "********"
    assert first["problems"][0].startswith("actions[2]: ")
    named = await world.dry_run(rule, event_ids=[deep])
    assert [match.event_id for match in named.matches] == [deep]
    for start, end, examined in (
        (datetime.now(UTC) + timedelta(hours=1), None, 0),
        (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC), 3),
        (datetime(9999, 12, 31, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC), 0),
    ):
        assert (await world.dry_run(rule, **{"from": start, "to": end})).examined == examined
    last = ["ffffffff-ffff-7fff-bfff-ffffffffffff", "00000000-0000-7000-8000-000000000000", str(UUID(int=0))]
    for event_id in last:
        assert (await world.dry_run(rule, event_ids=[event_id])).examined == 0
    assert not (await world.log(rule)).entries
    assert not world.tasks.made
    with pytest.raises(NotFound):
        await world.dry_run(rule, world.stranger)


async def test_a_rule_is_created_read_listed_changed_and_deleted(world: World) -> None:
    rule = await world.create(when="priority = urgent", max_per_minute=7)
    request = rules_pb2.GetRuleRequest(id=rule.id)
    assert (await world.stub.GetRule(request, metadata=world.viewer.metadata)).rule == rule
    assert (rule.enabled, rule.max_per_minute, rule.etag, list(rule.on)) == (True, 7, '"v1"', ["task.created"])
    changed = await world.update(rule, name="Other", when="priority >= high", if_match=rule.etag)
    assert (changed.name, changed.when, changed.version) == ("Other", "priority >= high", 2)
    with pytest.raises(PreconditionFailed):
        await world.update(rule, name="Lost", if_match=rule.etag)
    rules = [rule, *[await world.create() for _ in range(3)]]
    seen, token = [], ""
    for _page in range(2):
        listing = rules_pb2.ListRulesRequest(page_size=2, page_token=token)
        answer = await world.stub.ListRules(listing, metadata=world.owner.metadata)
        seen += [each.id for each in answer.rules]
        token = answer.next_page_token
    assert seen == [each.id for each in reversed(rules)]
    assert not token
    await world.stub.DeleteRule(rules_pb2.DeleteRuleRequest(id=rule.id), metadata=world.owner.metadata)
    with pytest.raises(NotFound):
        await world.stub.GetRule(request, metadata=world.owner.metadata)


async def test_a_repeated_request_returns_the_first_rule(world: World) -> None:
    made = await asyncio.gather(*(world.create(request_id="once") for _ in range(5)))
    assert len({rule.id for rule in made}) == 1
    with pytest.raises(Unprocessable):
        await world.create(request_id="once", when="priority = urgent")
    assert (await world.create(request_id="twice")).id != made[0].id


async def test_two_changes_at_once_leave_one_loser(world: World) -> None:
    rule = await world.create()
    answers = await asyncio.gather(
        *(world.update(rule, name=f"Name {number}", if_match=rule.etag) for number in range(4)),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, PreconditionFailed) for answer in answers) == 3


async def test_others_see_no_rule_and_viewers_change_none(world: World) -> None:
    rule = await world.create()
    for change in (
        world.create(user=world.viewer, workspace_id=str(world.owner.workspace_id)),
        world.update(rule, user=world.viewer, name="x"),
        world.stub.DeleteRule(rules_pb2.DeleteRuleRequest(id=rule.id), metadata=world.viewer.metadata),
        world.stub.ResumeRule(rules_pb2.ResumeRuleRequest(id=rule.id), metadata=world.viewer.metadata),
    ):
        with pytest.raises(PermissionDenied):
            await change
    for call in (
        world.create(user=world.stranger, workspace_id=str(world.owner.workspace_id)),
        world.update(rule, user=world.stranger, name="x"),
        world.stub.GetRule(rules_pb2.GetRuleRequest(id=rule.id), metadata=world.stranger.metadata),
        world.stub.DeleteRule(rules_pb2.DeleteRuleRequest(id=rule.id), metadata=world.stranger.metadata),
        world.stub.ResumeRule(rules_pb2.ResumeRuleRequest(id=rule.id), metadata=world.stranger.metadata),
        world.stub.ListRuleLog(rules_pb2.ListRuleLogRequest(id=rule.id), metadata=world.stranger.metadata),
    ):
        with pytest.raises(NotFound):
            await call


async def test_a_rule_that_is_set_off_too_often_is_held_until_it_is_resumed(world: World) -> None:
    rule = await world.create(max_per_minute=1)
    for number in range(3):
        await world.publish_task(f"{number}")

    async def held() -> Any:
        found = (await world.stub.GetRule(rules_pb2.GetRuleRequest(id=rule.id), metadata=world.owner.metadata)).rule
        return found if found.hold == rules_pb2.RULE_HOLD_RATE else None

    assert (await eventually(held)).HasField("held_at")
    page = await world.log(rule, page_size=1)
    assert page.entries[0].outcome == rules_pb2.RULE_OUTCOME_HELD
    rest = await world.log(rule, page_size=1, page_token=page.next_page_token)
    assert ([entry.outcome for entry in rest.entries], rest.next_page_token) == ([FIRED], "")
    request = rules_pb2.ResumeRuleRequest(id=rule.id)
    resumed = (await world.stub.ResumeRule(request, metadata=world.owner.metadata)).rule
    assert (resumed.hold, resumed.version) == (rules_pb2.RULE_HOLD_UNSPECIFIED, 3)
    assert (await world.stub.ResumeRule(request, metadata=world.owner.metadata)).rule == resumed
    await world.publish_task("again")

    async def fired() -> bool:
        return len((await world.log(rule)).entries) == 3

    await eventually(fired)


@pytest.mark.parametrize(
    ("members", "actions", "code", "words"),
    [
        ({"when": "priority = "}, (CREATE,), "INVALID_FILTER", "position 11"),
        ({"when": "priority = high", "on": ["comment.created"]}, (CREATE,), "INVALID_FILTER", "position 0"),
        ({}, ({"fly": {}},), "INVALID_ACTION", "fly"),
        ({}, (CREATE, {"create_task": {"title": ""}}), "INVALID_ACTION", r"actions\[1\]"),
        ({}, ({"create_task": {"title": "${evnt.id}"}},), "INVALID_ACTION", "names evnt"),
        ({}, ({"create_task": {"title": "${1 + }"}},), "INVALID_ACTION", "character"),
        ({}, ({"http": {"url": "http://169.254.169.254/"}},), "INVALID_ACTION", "may not connect"),
        ({}, ({"create_task": {"title": "x" * 70_000}},), "INVALID_ACTION", "larger"),
        ({"on": ["moon.risen"]}, (CREATE,), "INVALID_FIELDS", "fields"),
        ({"on": []}, (CREATE,), "INVALID_FIELDS", "fields"),
        ({"name": " "}, (CREATE,), "INVALID_FIELDS", "fields"),
        ({"max_per_minute": 0}, (CREATE,), "INVALID_FIELDS", "fields"),
        ({}, (CREATE,) * 11, "INVALID_FIELDS", "fields"),
        ({"project_id": "x"}, (CREATE,), "INVALID_FIELDS", "fields"),
        ({"project_id": str(uuid7()), "on": ["comment.created"]}, (CREATE,), "INVALID_FIELDS", "comment.created"),
    ],
    ids=[
        "filter", "filter-of-another-type", "kind", "action", "variable", "expression", "address", "size", "type",
        "no-type", "name", "rate", "too-many", "project", "project-of-comments",
    ],
)  # fmt: skip
async def test_a_rule_that_will_not_do_is_refused_with_the_place(
    world: World, members: dict[str, Any], actions: tuple[dict[str, Any], ...], code: str, words: str
) -> None:
    with pytest.raises(InvalidArgument, match=words) as caught:
        await world.create(*actions, **members)
    assert caught.value.code == code
    assert code != "INVALID_FILTER" or [each.field for each in caught.value.violations] == ["when"]


async def test_a_rule_always_has_a_type_and_an_action(world: World) -> None:
    rule = await world.create()
    for field in ("on", "actions"):
        with pytest.raises(InvalidArgument, match=f"always has {field}"):
            await world.update(rule, **{field: []})


async def test_a_workspace_has_only_so_many_rules(world: World) -> None:
    answers = await asyncio.gather(*(world.create() for _ in range(MAX_RULES + 3)), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, RotaError)]
    assert [(type(each), each.code) for each in refused] == [(Conflict, "RULE_LIMIT_REACHED")] * 3


async def test_what_happens_in_a_project_that_is_hidden_from_its_owner_does_not_concern_a_rule(
    world: World, issuer: TokenIssuer
) -> None:
    workspace_id, member = world.owner.workspace_id, User(issuer)
    world.auth.add_user(member)
    world.auth.add_member(workspace_id, member.id)
    project_id = str(uuid7())
    project, members = a_project(workspace_id, project_id=project_id)
    await world.publish(events_pb2.ProjectCreated(project=project, members=members))
    theirs = await world.create(user=member, workspace_id=str(workspace_id))
    everything = await world.create()
    await world.publish_task("hidden", project_id=project_id)
    comment = events_pb2.CommentCreated(task_title="hidden", project_id=project_id)
    talk = await world.create(user=member, workspace_id=str(workspace_id), on=["comment.created", "reminder.fired"])
    await world.publish(comment)
    await world.publish(events_pb2.ReminderFired(task_id=str(uuid7()), title="hidden", project_id=project_id))
    seen = await world.publish_task("seen")

    async def entries(rule: rules_pb2.Rule, count: int) -> list[str]:
        async def enough() -> Any:
            found = (await world.log(rule)).entries
            return found if len(found) >= count else None

        return [each.event_id for each in await eventually(enough, timeout_s=30)]

    await entries(everything, 2)
    assert await entries(theirs, 1) == [seen]
    for user in (member, world.owner):
        found = await world.dry_run(theirs, user)
        assert (found.examined, found.matched) == (1, 1)
    # Who asks is not shown what the owner sees, either.
    assert (await world.dry_run(everything, member)).examined == 1
    assert (await world.dry_run(everything)).examined == 2
    assert (await world.log(talk)).entries == []
    project, members = a_project(workspace_id, member.id, project_id=project_id, version=2)
    await world.publish(events_pb2.ProjectMemberAdded(project=project, members=members, member=members[0]), version=2)
    shown = await world.publish_task("shown", project_id=project_id)
    assert await entries(theirs, 2) == [shown, seen]


async def test_a_step_of_a_workflow_does_not_hear_of_a_project_that_is_hidden_from_who_started_it(
    world: World, issuer: TokenIssuer
) -> None:
    workspace_id, member = world.owner.workspace_id, User(issuer)
    world.auth.add_user(member)
    world.auth.add_member(workspace_id, member.id)
    project_id = str(uuid7())
    project, members = a_project(workspace_id, project_id=project_id)
    await world.publish(events_pb2.ProjectCreated(project=project, members=members))
    create = workflows_pb2.CreateWorkflowRequest(name="Wait", workspace_id=str(workspace_id))
    steps = {"waits": {"wait": {"event": {"type": "task.created"}}}}
    ParseDict({"steps": steps, "output": "${steps.waits.output.task.title}"}, create.definition)
    workflow = (await world.workflows.CreateWorkflow(create, metadata=member.metadata)).workflow
    request = workflows_pb2.StartWorkflowRequest(id=workflow.id)
    run = (await world.workflows.StartWorkflow(request, metadata=member.metadata)).run
    await world.publish_task("hidden", project_id=project_id)
    await world.publish_task("seen", project_id=str(uuid7()))

    async def ended() -> Any:
        get = workflows_pb2.GetWorkflowRunRequest(id=run.id)
        found = (await world.workflows.GetWorkflowRun(get, metadata=member.metadata)).run
        return found if found.HasField("finished_at") else None

    assert (await eventually(ended, timeout_s=30)).output.string_value == "seen"

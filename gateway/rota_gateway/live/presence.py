"""Who is looking at which task, told to those who look at it too, or follow its project (see `lists`).

Each gateway knows the sockets of all: it tells the others what has changed at its own, all of a moment in one message,
and now and then how its own stand altogether, on a plain NATS subject. That is a hint, not an event: what is missed is
made good by the next full message, and a gateway that is not heard of for a minute counts for nothing any more.

Each gateway answers for its own sockets: nobody looks at a task that they may not see. Tasks is asked once which
project a task is in; from then on its events say so, and whom they take the sight from looks at nothing any more.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import orjson
from nats.errors import Error as NatsError
from rota_chassis.errors import RotaError
from rota_chassis.logs import logger

from rota_gateway.live import protocol
from rota_gateway.live.lists import Listed, Lists

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from nats.aio.client import Client
    from nats.aio.msg import Msg

    from rota_gateway.live.projects import Projects
    from rota_gateway.live.subscriber import Subscriber

SUBJECT = "rota.live.presence"
TELL_EVERY_S = 0.1
TELL_ALL_EVERY_S = 20.0
FORGET_AFTER_S = 60.0
_RETRY_S = 1.0
_LOG = logger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """What somebody looks at."""

    workspace_id: str
    task_id: str


@dataclass(frozen=True, slots=True)
class _Look:
    user_id: str
    place: Place


@dataclass(slots=True)
class _Others:
    """The sockets of one gateway, by their ids, and until when they count."""

    until: float = 0.0
    looks: dict[str, _Look] = field(default_factory=dict)


class Presence:
    """Knows who looks at what, and tells.

    Args:
        nats: Where gateways tell each other; while it is away each knows of its own sockets only.
        projects: Who may see what.
        now: Seconds on a clock that only goes forward.
    """

    def __init__(self, nats: Client, projects: Projects, now: Callable[[], float] = time.monotonic) -> None:
        self._nats = nats
        self._projects = projects
        self._lists = Lists(projects)
        self._project_of: dict[Place, str] = {}
        # Where the tasks are at which only users of other gateways look, as those say.
        self._hints: dict[Place, str] = {}
        self._shown_in: dict[Place, Listed] = {}
        self._asking: Counter[Place] = Counter()
        self._now = now
        self._id = uuid4().hex
        self._ids: dict[Subscriber, str] = {}
        self._lookers: defaultdict[Place, set[Subscriber]] = defaultdict(set)
        self._gateways: defaultdict[str, _Others] = defaultdict(_Others)
        self._users: defaultdict[Place, Counter[str]] = defaultdict(Counter)
        self._changed: set[str] = set()
        self._some = asyncio.Event()

    async def look(self, subscriber: Subscriber, place: Place | None, listed: Listed | None = None) -> None:
        """A socket's user looks at a task that they may see, or at none any more; they hear who else does.

        And has a project before them that they may see, or none: they hear who looks at which of its tasks.
        """
        self._lists.follow(subscriber, listed, self._looked_at)
        if place is not None and not await self._may_look(subscriber, place):
            subscriber.offer(protocol.presence(place.workspace_id, place.task_id, []))
            self._look(subscriber, None)
            if place not in self._lookers and not self._asking[place]:
                self._project_of.pop(place, None)
        else:
            self._look(subscriber, place)

    async def _may_look(self, subscriber: Subscriber, place: Place) -> bool:
        if place.workspace_id not in subscriber.workspaces:
            return False
        if place not in self._project_of:
            # What is heard of the task while tasks is asked is newer than its answer.
            self._asking[place] += 1
            try:
                found = await self._projects.of_task(place.workspace_id, place.task_id)
            except RotaError as error:
                _LOG.info("presence.not_known", error=str(error))
                return False
            finally:
                self._asking[place] -= 1
                self._asking += Counter()  # drops those at zero
            if found is None:
                return False
            self._project_of.setdefault(place, found)
        return self._projects.sees(subscriber, place.workspace_id, self._project_of[place])

    def moved(self, workspace_id: str, task_id: str, project_id: str) -> None:
        """A task is in this project now, or in none."""
        place = Place(workspace_id, task_id)
        if place in self._hints:
            self._hints[place] = project_id
        if place in self._project_of or self._asking[place]:
            self._project_of[place] = project_id
            self._review([place])
        self._relocate(place)
        if place in self._lookers:
            # The others are told where it is now.
            self._changed.update(self._ids[each] for each in self._lookers[place])
            self._some.set()

    def review(self, workspace_id: str) -> None:
        """Who may see what in a workspace has changed: who may not see what they look at looks at nothing any more."""
        self._review([place for place in self._lookers if place.workspace_id == workspace_id])
        self._lists.review(workspace_id)

    def _review(self, places: Iterable[Place]) -> None:
        for place in places:
            for subscriber in list(self._lookers.get(place, ())):
                if not self._projects.sees(subscriber, place.workspace_id, self._project_of[place]):
                    self._look(subscriber, None)

    def _look(self, subscriber: Subscriber, place: Place | None) -> None:
        session = self._ids.setdefault(subscriber, uuid4().hex)
        own = self._gateways[self._id]
        before = own.looks.get(session)
        if before is not None:
            self._lookers[before.place].discard(subscriber)
            if not self._lookers[before.place]:
                del self._lookers[before.place]
                if before.place != place:
                    self._project_of.pop(before.place, None)
        if place is not None:
            self._lookers[place].add(subscriber)
        shown = self._change(own, {session: None if place is None else _Look(subscriber.user_id, place)})
        if place is not None and place not in shown:
            # A second socket of theirs: for the others nobody has come.
            subscriber.offer(protocol.presence(place.workspace_id, place.task_id, self._at(place)))
        self._changed.add(session)
        self._some.set()

    def leave(self, subscriber: Subscriber) -> None:
        """A socket is gone."""
        self._lists.leave(subscriber)
        if subscriber in self._ids:
            self._look(subscriber, None)
            del self._ids[subscriber]

    async def run(self) -> None:
        """Tell the others, and hear of theirs, until cancelled."""
        await self._listen()
        last = 0.0
        while True:
            try:
                async with asyncio.timeout(max(0.0, last + TELL_ALL_EVERY_S - self._now())):
                    await self._some.wait()
            except TimeoutError:
                pass
            self._some.clear()
            whole = self._now() - last >= TELL_ALL_EVERY_S
            last = self._now() if whole else last
            if whole or self._changed:
                await self._tell(whole=whole)
            self._forget()
            self._lists.tell(self._users_in)
            await asyncio.sleep(TELL_EVERY_S)

    async def _listen(self) -> None:
        while True:
            try:
                # A subscription outlives reconnections.
                await self._nats.subscribe(SUBJECT, cb=self._told)
            except (NatsError, OSError) as error:
                _LOG.info("presence.not_listening", error=repr(error))
                await asyncio.sleep(_RETRY_S)
            else:
                return

    async def _tell(self, *, whole: bool) -> None:
        own = self._gateways[self._id].looks
        changed, self._changed = self._changed, set()
        told = own.keys() if whole else changed
        places = [own[each].place for each in told if each in own]
        message = {
            "gateway": self._id,
            "whole": whole,
            "sockets": {each: _written(own.get(each)) for each in told},
            "projects": {each.task_id: self._project_of[each] for each in places if each in self._project_of},
        }
        try:
            if self._nats.is_connected:
                await self._nats.publish(SUBJECT, orjson.dumps(message))
        except (NatsError, OSError) as error:
            _LOG.info("presence.not_told", error=repr(error))

    async def _told(self, message: Msg) -> None:
        try:
            content = orjson.loads(message.data)
            gateway, whole = str(content["gateway"]), bool(content["whole"])
            looks = {str(each): _read(look) for each, look in content["sockets"].items()}
            projects = {str(each): str(project_id) for each, project_id in content.get("projects", {}).items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            _LOG.error("presence.malformed", error=repr(error))
            return
        if gateway == self._id:
            return
        others = self._gateways[gateway]
        others.until = self._now() + FORGET_AFTER_S
        gone: Mapping[str, _Look | None] = dict.fromkeys(others.looks.keys() - looks.keys()) if whole else {}
        places = {look.place for look in looks.values() if look is not None}
        self._hints |= {each: projects[each.task_id] for each in places if each.task_id in projects}
        self._change(others, {**gone, **looks})
        for place in places:
            self._relocate(place)

    def _forget(self) -> None:
        for gateway, others in list(self._gateways.items()):
            if gateway != self._id and others.until < self._now():
                self._change(others, dict.fromkeys(others.looks))
                del self._gateways[gateway]

    def _change(self, of_gateway: _Others, looks: Mapping[str, _Look | None]) -> Collection[Place]:
        """Take over what sockets look at, and tell those whose company is another now; returns where it is."""
        shown: set[Place] = set()
        touched: dict[Place, list[str]] = {}
        for session, look in looks.items():
            before = of_gateway.looks.pop(session, None)
            for each in (before, look):
                if each is not None:
                    touched.setdefault(each.place, self._at(each.place))
            if before is not None:
                self._users[before.place][before.user_id] -= 1
            if look is not None:
                of_gateway.looks[session] = look
                self._users[look.place][look.user_id] += 1
        for place, before_it in touched.items():
            self._users[place] += Counter()  # drops those of whom none is left
            now = self._at(place)
            if not now:
                del self._users[place]
                self._hints.pop(place, None)
            self._relocate(place)
            if now != before_it:
                shown.add(place)
                self._show(place)
        return shown

    def _relocate(self, place: Place) -> None:
        """Note in which project a task is at which somebody looks, for those who follow that, or where it was."""
        project_id = self._project_of.get(place, self._hints.get(place, "")) if place in self._users else ""
        listed = Listed(place.workspace_id, project_id) if project_id else None
        before = self._shown_in.pop(place, None)
        if listed is not None:
            self._shown_in[place] = listed
        if listed != before:
            self._note(before, place)
            self._note(listed, place)

    def _note(self, listed: Listed | None, place: Place) -> None:
        if listed is not None:
            self._lists.note(listed, place.task_id)
            self._some.set()

    def _looked_at(self, listed: Listed) -> Mapping[str, list[str]]:
        """Who looks at tasks of a project, by their ids."""
        return {place.task_id: self._at(place) for place, where in self._shown_in.items() if where == listed}

    def _users_in(self, listed: Listed, task_id: str) -> list[str]:
        place = Place(listed.workspace_id, task_id)
        return self._at(place) if self._shown_in.get(place) == listed else []

    def _at(self, place: Place) -> list[str]:
        return sorted(self._users[place]) if place in self._users else []

    def _show(self, place: Place) -> None:
        """Tell those who look at a task who does, and soon those who follow its project."""
        self._note(self._shown_in.get(place), place)
        text = protocol.presence(place.workspace_id, place.task_id, self._at(place))
        for subscriber in self._lookers.get(place, ()):
            subscriber.offer(text)


def said(frame: Mapping[str, Any]) -> tuple[Place | None, Listed | None]:
    """What a client's presence frame says it looks at, and which project it has before it.

    Raises:
        Ended: it says something else.
    """
    try:
        workspace_id, task_id, project_id = (
            None if frame.get(name) is None else str(UUID(frame[name]))
            for name in ("workspace_id", "task_id", "project_id")
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise protocol.bad_presence() from error
    if (workspace_id is None) != (task_id is None and project_id is None):
        raise protocol.bad_presence()
    return (
        Place(workspace_id, task_id) if workspace_id and task_id else None,
        Listed(workspace_id, project_id) if workspace_id and project_id else None,
    )


def _written(look: _Look | None) -> list[str] | None:
    return None if look is None else [look.user_id, look.place.workspace_id, look.place.task_id]


def _read(written: list[str] | None) -> _Look | None:
    if written is None:
        return None
    user_id, workspace_id, task_id = written
    return _Look(str(user_id), Place(str(workspace_id), str(task_id)))

"""What notifications say, and how they change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rota_notifications.notifications import domain
from rota_notifications.notifications.domain import Kind, Notification, Occasion
from rota_notifications.notifications.wording import one_line, words
from rota_notifications.people.domain import Person

NOW = datetime(2026, 5, 1, 10, tzinfo=UTC)
ADA, GRACE, LINUS = (uuid4() for _ in range(3))
WORDED = [kind for kind in Kind if kind is not Kind.SCHEDULE_MESSAGE]


def person(user_id: UUID, name: str, time_zone: str = "UTC") -> Person:
    return Person(
        workspace_id=uuid4(), id=user_id, email="a@b.test", name=name, time_zone=time_zone, locale="en", version=1
    )


def occasion(kind: Kind = Kind.TASK_ASSIGNED, *, moment: datetime | None = None) -> Occasion:
    return Occasion(
        event_id=uuid4(),
        workspace_id=uuid4(),
        kind=kind,
        task_id=uuid4(),
        task_title="Water the plants",
        actor_id=ADA,
        recipient_ids=(GRACE, LINUS),
        moment=moment,
    )


def test_each_recipient_is_told_in_their_own_time_zone_by_name() -> None:
    people = {ADA: person(ADA, "Ada"), GRACE: person(GRACE, "Grace", "Europe/Warsaw")}
    why = occasion(moment=NOW)
    first, second = domain.tell(why, people, new_id=uuid4, now=NOW)
    assert first.notification.title == "Assigned to you: Water the plants"
    assert first.notification.body == (
        "Ada assigned this task to you. It is due on 1 May 2026 at 12:00 (Europe/Warsaw)."
    )
    assert second.notification.body.endswith("at 10:00 (UTC).")
    assert (first.notification.user_id, second.notification.user_id) == (GRACE, LINUS)
    assert {each.notification.event_id for each in (first, second)} == {why.event_id}
    assert {each.notification.version for each in (first, second)} == {1}


def test_an_unknown_actor_is_not_named() -> None:
    for kind in WORDED:
        for event in domain.tell(occasion(kind), {}, new_id=uuid4, now=NOW):
            assert event.notification.body
            assert "None" not in event.notification.body


def test_an_unknown_time_zone_means_utc() -> None:
    for zone in ("Mars/Olympus", "../etc/passwd", "", "\0"):
        said = words("task.due", task_title="x", actor_name=None, moment=NOW, time_zone=zone)
        assert said.body == "This task was due on 1 May 2026 at 10:00 (UTC), and is still open."


def test_there_are_words_for_every_kind_that_brings_none_and_for_nothing_else() -> None:
    for kind in WORDED:
        assert words(kind.value, task_title="x", actor_name="Ada", moment=NOW, time_zone="UTC").body
    with pytest.raises(ValueError, match=r"task\.eaten"):
        words("task.eaten", task_title="x", actor_name=None, moment=None, time_zone="UTC")


@given(st.text())
def test_a_title_is_always_one_line(title: str) -> None:
    said = words("task.due", task_title=title, actor_name=title, moment=None, time_zone="UTC")
    assert len(said.title.splitlines()) == 1
    assert one_line(said.title) == said.title


def test_curly_braces_in_a_title_are_only_text() -> None:
    said = words("task.due", task_title="{task} {0}", actor_name=None, moment=None, time_zone="UTC")
    assert said.title == "Due: {task} {0}"


def notification() -> Notification:
    return domain.tell(occasion(), {}, new_id=uuid4, now=NOW)[0].notification


def test_reading_happens_once() -> None:
    unread = notification()
    later = NOW + timedelta(hours=1)
    (event,) = domain.read(unread, now=later)
    assert (event.notification.read_at, event.notification.version) == (later, 2)
    assert domain.read(event.notification, now=later + timedelta(hours=1)) == []


def test_deleting_is_the_next_version() -> None:
    (read,) = domain.read(notification(), now=NOW)
    (deleted,) = domain.delete(read.notification, now=NOW)
    assert deleted.notification.version == 3
    assert deleted.notification.read_at == NOW

"""What notifications say, in English. Every sentence that a user reads is here or in `email.templates`."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

if TYPE_CHECKING:
    from datetime import datetime

DEFAULT_TIME_ZONE = "UTC"

_TITLES = {
    "task.assigned": "Assigned to you: {task}",
    "task.completed": "Completed: {task}",
    "task.reminder": "Reminder: {task}",
    "task.due": "Due: {task}",
    "task.mentioned": "You were mentioned: {task}",
    "task.commented": "New comment: {task}",
    "task.run_failed": "Action failed: {task}",
}
_BREAKS_A_LINE = frozenset({"Cc", "Cs", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class Words:
    """A notification's text.

    Attributes:
        title: One line.
        body: Plain text.
    """

    title: str
    body: str


def words(
    kind: str,
    *,
    task_title: str,
    actor_name: str | None,
    moment: datetime | None,
    time_zone: str,
    error: str | None = None,
) -> Words:
    """What to say.

    Args:
        kind: Why: "task.assigned", "task.completed", "task.reminder", "task.due", "task.mentioned", "task.commented" or
            "task.run_failed".
        task_title: What the task is called.
        actor_name: Who did it, if known.
        moment: The time it is about, if any.
        time_zone: IANA name of the zone in which to tell the time; an unknown one means UTC.
        error: What went wrong, if something did.
    """
    actor = one_line(actor_name or "")
    when = _spoken(moment, time_zone) if moment else ""
    match kind:
        case "task.assigned":
            body = f"{actor} assigned this task to you." if actor else "This task was assigned to you."
            body += f" It is due on {when}." if when else ""
        case "task.completed":
            body = f"{actor} completed this task." if actor else "This task is complete."
        case "task.reminder":
            body = f"This is your reminder for {when}." if when else "This is your reminder."
        case "task.due":
            body = f"This task was due on {when}, and is still open." if when else "This task is due, and still open."
        case "task.mentioned":
            body = f"{actor} mentioned you in a comment." if actor else "You were mentioned in a comment."
        case "task.commented":
            body = f"{actor} commented on this task." if actor else "Someone commented on this task."
        case "task.run_failed":
            body = "The action of this task failed for good."
            body += f" {one_line(error)}" if error else ""
        case _:
            raise ValueError(f"there are no words for {kind}")
    return Words(one_line(_TITLES[kind].format(task=task_title)), body)


def one_line(text: str) -> str:
    """The text without line breaks and control characters, runs of white space as one blank."""
    return " ".join("".join(" " if unicodedata.category(each) in _BREAKS_A_LINE else each for each in text).split())


def _spoken(moment: datetime, time_zone: str) -> str:
    try:
        zone = ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        zone = ZoneInfo(DEFAULT_TIME_ZONE)
    local = moment.astimezone(zone)
    return f"{local.day} {local:%B %Y} at {local:%H:%M} ({zone.key})"

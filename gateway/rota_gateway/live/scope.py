"""Which projects an event is about, by its data in the form of the REST API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

# By aggregate, where the data says it. What is not here belongs to the workspace.
_PATHS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "task": (("task", "project_id"),),
    "task_series": (("series", "template", "project_id"),),
    "project": (("project", "id"),),
    "section": (("section", "project_id"),),
    "state": (("state", "project_id"),),
    "custom_field": (("custom_field", "project_id"),),
    "saved_filter": (("saved_filter", "project_id"),),
    "template": (("project_id",),),
    "relation": (("project_id",), ("other_project_id",)),
    "checklist_item": (("project_id",),),
    "comment": (("project_id",),),
    "reaction": (("project_id",),),
    "attachment": (("project_id",),),
    "workflow_run": (("workflow_run", "project_ids"),),
}


def projects_of(event_type: str, data: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The projects whose events these are; each has to be seen. None when an event from before does not say."""
    found = []
    for path in _PATHS.get(event_type.partition(".")[0], ()):
        here: Any = data
        for name in path:
            if len(path) == 1 and name not in here:
                return None
            here = (here or {}).get(name)
        if isinstance(here, list):
            found.extend(here)
        elif here:
            found.append(here)
    return tuple(found)


def left_of(event_type: str, data: Mapping[str, Any]) -> str | None:
    """The project that the task of an event has just left: empty for none, None when it stays where it is."""
    if event_type == "task.updated":
        for change in data.get("changes") or ():
            if change["field"] == "project_id":
                return change.get("old") or ""
    return None

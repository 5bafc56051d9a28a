"""The tasks that records say.

Pure. Each task is made once, from all that is known of it: there may be hundreds of thousands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_chassis.ids import uuid7

from rota_tasks.boards import domain as boards
from rota_tasks.fields.domain import fitting
from rota_tasks.imports.new_frame import MAX_LABELS, names_of
from rota_tasks.labels.domain import name_key
from rota_tasks.tasks.days import zones
from rota_tasks.tasks.domain import MAX_ASSIGNEES, MAX_LEVELS, MAX_WATCHERS, OPEN, Status, Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    from rota_tasks.boards.domain import State
    from rota_tasks.imports.batch import Batch
    from rota_tasks.imports.domain import TaskRecord

_SETTABLE = frozenset(
    {"title", "description", "status", "priority", "due_at", "due_on", "start_at", "start_on", "deadline_at"}
    | {"remind_at", "estimate_s", "progress", "category", "time_zone", "completed_at", "position", "status_before"}
    | {"remind_before_s", "recurrence", "series_id", "occurrence"}
)


class _Refused(Exception):
    """A record cannot be created."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def fresh(batch: Batch, records: Iterable[TaskRecord]) -> list[TaskRecord]:
    """The records that have not been imported before."""
    found = []
    for record in records:
        if record.key in batch.ids:
            batch.outcome.skip(record)
        else:
            found.append(record)
    return found


def tasks(batch: Batch, records: Sequence[TaskRecord]) -> list[Task]:
    """Tasks of fresh records, those above others first; those that cannot be are noted."""
    new = []
    for record, task_id in zip(records, sorted(uuid7() for _ in records), strict=True):
        if record.key in batch.ids:
            # Twice in the file.
            batch.outcome.skip(record)
            continue
        try:
            task = _task(batch, record, task_id)
        except _Refused as error:
            batch.outcome.fail(record, error.code, str(error))
            continue
        new.append(task)
        batch.create(record, task_id)
    return new


def _task(batch: Batch, record: TaskRecord, task_id: UUID) -> Task:
    project_id = batch.project_of(record)
    if (record.project is not None or project_id is not None) and project_id not in batch.projects:
        raise _Refused("PROJECT_NOT_FOUND", "Its project does not stand above it, or has been deleted.")
    values: dict[str, Any] = {
        **batch.made,
        **{name: value for name, value in record.fields.items() if name in _SETTABLE},
        "id": task_id,
        "workspace_id": batch.job.workspace_id,
        "project_id": project_id,
        "parent_id": _parent(batch, record, task_id),
        "section_id": _section(batch, record, project_id),
        "label_ids": _labels(batch, record),
        "assignee_ids": batch.people_of(record, record.assignees, MAX_ASSIGNEES),
        "watcher_ids": batch.people_of(record, record.watchers, MAX_WATCHERS),
        "fields": _values(batch, record, project_id),
    }
    _make_sound(batch, record, values)
    _recur_alone(batch, record, values)
    _place(batch, record, values)
    _close(batch, values)
    return Task(**values)


def _parent(batch: Batch, record: TaskRecord, task_id: UUID) -> UUID | None:
    if record.parent is None:
        _rise(batch, task_id, 1)
        return None
    parent_id = batch.ids.get(record.parent)
    level = batch.levels.get(parent_id) if parent_id is not None else None
    if level is None:
        raise _Refused("PARENT_NOT_FOUND", "The task it is a part of does not stand above it, or was deleted.")
    if level >= MAX_LEVELS:
        raise _Refused("SUBTASKS_TOO_DEEP", f"Tasks nest at most {MAX_LEVELS} levels deep.")
    _rise(batch, task_id, level + 1)
    return parent_id


def _rise(batch: Batch, task_id: UUID, level: int) -> None:
    batch.levels[task_id] = level
    if batch.job.dry_run:
        batch.foreseen.levels[task_id] = level


def _section(batch: Batch, record: TaskRecord, project_id: UUID | None) -> UUID | None:
    if record.section is None:
        return None
    section_id = batch.ids.get(record.section)
    if section_id is None or project_id is None or batch.sections.get(section_id) != project_id:
        batch.outcome.note(record, "SECTION_NOT_FOUND", "Its section is not in its project, or has been deleted.")
        return None
    return section_id


def _labels(batch: Batch, record: TaskRecord) -> tuple[UUID, ...]:
    named = names_of(record)
    if len(named) == MAX_LABELS and any(name.strip() and name_key(name) not in named for name in record.labels):
        batch.outcome.note(record, "TOO_MANY_LABELS", f"A task has at most {MAX_LABELS} labels; it gets the first.")
    found = map(batch.labels.get, named)
    return tuple(dict.fromkeys(each for each in found if each is not None))


def _values(batch: Batch, record: TaskRecord, project_id: UUID | None) -> Mapping[str, Mapping[str, Any]]:
    if not record.values:
        return {}
    found = {str(batch.ids.get(key)): _named(batch, value) for key, value in record.values.items()}
    fields = batch.fields.get(project_id, []) if project_id else []
    kept = fitting(fields, {key: value for key, value in found.items() if value is not None})
    if len(kept) < len(record.values):
        batch.outcome.note(record, "VALUE_NOT_TAKEN", "A value does not fit a custom field of its project.")
    return kept


def _named(batch: Batch, value: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """A value with the options and the person that it names here; None without them."""
    match value:
        case {"option_id": option}:
            found = batch.ids.get(_option_key(option))
            return None if found is None else {"option_id": str(found)}
        case {"option_ids": {"ids": options}}:
            several = [str(batch.ids[_option_key(each)]) for each in options if _option_key(each) in batch.ids]
            return {"option_ids": {"ids": several}} if several else None
        case {"user_id": name}:
            person = batch.people.find(name)
            return None if person is None else {"user_id": str(person)}
    return value


def _make_sound(batch: Batch, record: TaskRecord, values: dict[str, Any]) -> None:
    """Keep what holds of any task: a zone that exists, no reminder that is past, a rank that is one."""
    zone = values.get("time_zone")
    if zone and zone not in zones():
        batch.outcome.note(record, "TIME_ZONE_UNKNOWN", f"There is no time zone `{zone[:100]}`.")
        values["time_zone"] = ""
    remind_at, position = values.get("remind_at"), values.get("position")
    if remind_at is not None and remind_at <= batch.now:
        values["remind_at"] = None
    if position is not None and (values["project_id"] is None or not _is_rank(position)):
        values["position"] = None


def _recur_alone(batch: Batch, record: TaskRecord, values: dict[str, Any]) -> None:
    """Let it not recur where one above it does."""
    if values["parent_id"] in batch.recurring:
        if values.get("recurrence") is not None:
            text = f"The task recurs ({record.recurs[:100]}), which is left out: it is a part of one that does."
            batch.outcome.note(record, "RECURRENCE_LEFT_OUT", text)
            values |= {"recurrence": None, "series_id": None, "occurrence": None}
    elif values.get("recurrence") is None:
        return
    batch.recurring.add(values["id"])
    if batch.job.dry_run:
        batch.foreseen.recurring.add(values["id"])


def _place(batch: Batch, record: TaskRecord, values: dict[str, Any]) -> None:
    """Put it into a state of its project, if that has any."""
    states = batch.states.get(values["project_id"]) if values["project_id"] else None
    if not states:
        return
    status = values.get("status", Status.TODO)
    wished = batch.ids.get(record.state) if record.state else None
    state = boards.target(states, None, status=status, state_id=wished)
    if state is None and status in OPEN:
        state = boards.initial(states)
    if state is None:
        raise _Refused("TRANSITION_REFUSED", f"Its project has no state of the group {status}.")
    if state.wip_limit and batch.in_state.get(state.id, 0) >= state.wip_limit:
        raise _Refused("WIP_LIMIT_REACHED", f"{state.name} holds {state.wip_limit} tasks at most.")
    _enter(batch, state)
    before = batch.ids.get(record.state_before) if record.state_before else None
    values |= {"state_id": state.id, "status": state.group, "state_id_before": before}


def _enter(batch: Batch, state: State) -> None:
    batch.in_state[state.id] = batch.in_state.get(state.id, 0) + 1
    if batch.job.dry_run:
        batch.foreseen.in_state[state.id] = batch.foreseen.in_state.get(state.id, 0) + 1


def _close(batch: Batch, values: dict[str, Any]) -> None:
    """Keep when it was done and what it was before only where it is closed."""
    status = values.get("status", Status.TODO)
    if status in OPEN:
        values |= {"completed_at": None, "status_before": None, "state_id_before": None}
    elif status is Status.DONE:
        completed_at = min(values.get("completed_at") or batch.now, batch.now)
        values |= {"completed_at": completed_at, "completed_by": batch.job.created_by}
    else:
        values["completed_at"] = None


def keys_named(record: TaskRecord) -> set[str]:
    """The keys of what a record refers to."""
    named = (record.project, record.section, record.state, record.state_before, record.parent)
    keys = {each for each in named if each is not None}
    if record.values:
        keys.update(record.values)
        keys.update(_option_key(each) for value in record.values.values() for each in _options(value))
    return keys


def _options(value: Mapping[str, Any]) -> Sequence[str]:
    match value:
        case {"option_id": option}:
            return [option]
        case {"option_ids": {"ids": options}}:
            found: Sequence[str] = options
            return found
    return []


def _option_key(option: str) -> str:
    return f"custom_option:{option}"


def _is_rank(position: Any) -> bool:
    if not isinstance(position, str):
        return False
    try:
        boards.between(position, None)
    except Exception:  # noqa: BLE001 (the library raises its own and others')
        return False
    return True

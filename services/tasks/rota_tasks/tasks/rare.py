"""Parts of filters that hardly any task passes, found by an index whatever the order of the list.

A list goes through the tasks in the order asked for, as long as that finds enough for a page soon. If hardly any task
passes a part of the filter, it goes through all of them. How many titles have a text, no statistics say; and of a user
or a label that few tasks have, the planner takes it that half as many have it as the rarest that it knows, which may be
thousands. So a sample of each workspace says which parts are rare, and these are replaced by the ids of the tasks.

Texts in titles are found by the trigrams of these (`title_trigrams` in the migrations), each third one: "wat", "er ",
"pla" of "Water plan". Wherever in a title a text begins, its own are among them once none, one or two characters at its
beginning are left out. So the index has all tasks whose titles may have the text, and these titles are looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_chassis.filters.ast import And, Contains, Field, Kind, OneOf
from rota_chassis.filters.sql import contains
from rota_chassis.memberships import MEMBERSHIPS
from rota_chassis.postgres.statements import statement
from sqlalchemy import ColumnElement, Integer, Text, bindparam, cast, func, literal, or_, select, true, union_all
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks.tasks.tables import TASKS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from uuid import UUID

    from rota_chassis.filters.ast import Filter
    from rota_chassis.postgres.work import Reader
    from sqlalchemy import FromClause

    Part = Contains | OneOf

LIVING = Field("living_label", Kind.IDS)
"""Labels that are known to exist, in place of those that a filter names (see `filtering.with_labels`)."""

_TITLE = Field("rare_in_title", Kind.NAMES)
_IDS = {"assignee": "assignee_ids", "watcher": "watcher_ids", LIVING.name: "label_ids"}
"""By field, the column of tasks that holds any number of ids, and has an index."""
_RARE = {name: Field(f"rare_{name}", Kind.IDS) for name in _IDS}
_TRIGRAM = 3
SHORTEST = 2 * _TRIGRAM - 1
"""So many characters have a whole trigram among them wherever they are."""
_END = 500
"""How many of the oldest and of the newest tasks of each workspace are looked at."""
_FEW = 0.003
"""Of which part of them less are few: then to go through enough tasks for a page costs as much as to read what an index
has, which must be read to the end."""
_FOUND = TASKS.alias("found")


async def parts(reader: Reader, found: Filter | None, *, user_id: UUID, workspace_id: UUID | None) -> Collection[Part]:
    """The parts of a filter that hardly any task passes; a query, if there is any that an index serves."""
    asked = _served(found)
    if not asked:
        return ()
    ends = [
        select(TASKS.c.title, *(TASKS.c[column] for column in _IDS.values()))
        .where(TASKS.c.workspace_id == MEMBERSHIPS.c.workspace_id)
        .order_by(key)
        .limit(_END)
        .correlate(MEMBERSHIPS)
        for key in (TASKS.c.id.asc(), TASKS.c.id.desc())
    ]
    sampled = union_all(*ends).lateral("sampled")
    shares = [func.avg(cast(_passes(part, sampled), Integer)) for part in asked]
    query = (
        select(*((share < _FEW).label(f"part_{place}") for place, share in enumerate(shares)))
        .select_from(MEMBERSHIPS.join(sampled, true()))
        .where(
            MEMBERSHIPS.c.user_id == bindparam("user_id"),
            ~MEMBERSHIPS.c.removed,
            true() if workspace_id is None else MEMBERSHIPS.c.workspace_id == literal(workspace_id, PgUUID),
        )
    )
    row: Any = await reader.fetch_one(statement(query), user_id=user_id)
    return [part for part, is_rare in zip(asked, row, strict=True) if is_rare]


def with_rare(found: Filter, parts: Collection[Part]) -> Filter:
    """The filter with these parts of it asked for by index."""
    match found:
        case And(several):
            return And(tuple(with_rare(part, parts) for part in several))
        case Contains() if found in parts:
            return OneOf(_TITLE, (found.text,))
        case OneOf() if found in parts:
            return OneOf(_RARE[found.field.name], found.values)
    return found


def _served(found: Filter | None) -> Sequence[Part]:
    match found:
        case And(several):
            return [each for part in several for each in _served(part)]
        case Contains(field, sought) if field.name == "title" and len(sought) >= SHORTEST:
            return [found]
        case OneOf(field) if field.name in _IDS:
            return [found]
    return []


def _passes(part: Part, tasks: FromClause) -> ColumnElement[bool]:
    if isinstance(part, Contains):
        return contains(tasks.c.title, literal(part.text, Text))
    holds: ColumnElement[bool] = tasks.c[_IDS[part.field.name]].overlap(literal(list(part.values), ARRAY(PgUUID)))
    return holds


def _has_text(wanted: Any) -> ColumnElement[bool]:
    sought: ColumnElement[Any] = func.unnest(wanted).column_valued("sought")
    trigrams = func.title_trigrams(_FOUND.c.workspace_id, _FOUND.c.title, type_=ARRAY(Text))
    own = [
        func.title_trigrams(MEMBERSHIPS.c.workspace_id, func.substr(sought, first), type_=ARRAY(Text))
        for first in range(1, _TRIGRAM + 1)
    ]
    return _is_among(contains(_FOUND.c.title, sought), or_(*(trigrams.contains(each) for each in own)))


def _holds(column: str) -> Callable[[Any], ColumnElement[bool]]:
    return lambda wanted: _is_among(_FOUND.c[column].overlap(wanted))


def _is_among(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """The task is one of those that pass: as ids that do not depend on the task, for the index of these."""
    ids = (
        select(_FOUND.c.id)
        .where(_FOUND.c.workspace_id == MEMBERSHIPS.c.workspace_id, *conditions)
        .correlate(MEMBERSHIPS)
        .scalar_subquery()
    )
    among: ColumnElement[bool] = TASKS.c.id == func.any(func.array(ids))
    return among


COLLECTIONS: Mapping[str, Callable[[Any], ColumnElement[bool]]] = {
    _TITLE.name: _has_text,
    **{_RARE[name].name: _holds(column) for name, column in _IDS.items()},
}
"""As `filters.sql.condition` wants it, for the parts that `with_rare` puts into a filter."""

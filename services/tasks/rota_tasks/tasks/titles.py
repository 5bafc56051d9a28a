"""Texts that hardly any title has, found by an index.

To look for a text in titles, the tasks are gone through in the order asked for. That ends soon, unless hardly any task
has it: then it goes through all of them. Those tasks are found by the trigrams of their titles (`title_trigrams` in the
migrations), each third one: "wat", "er ", "pla" of "Water plan". Wherever in a title a text begins, its own are among
them once none, one or two characters at its beginning are left out. So the index has all tasks whose titles may have
the text, and these titles are looked at.

Which way is the shorter depends on how many have the text. No statistics say; a sample of each workspace does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_chassis.filters.ast import And, Contains, Field, Kind, OneOf
from rota_chassis.filters.sql import contains
from rota_chassis.memberships import MEMBERSHIPS
from rota_chassis.postgres.statements import statement
from sqlalchemy import ColumnElement, Text, bindparam, func, or_, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks.tasks.tables import TASKS

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from uuid import UUID

    from rota_chassis.filters.ast import Filter
    from rota_chassis.postgres.work import Reader

RARE = Field("rare_in_title", Kind.NAMES)
"""Texts in titles that hardly any has, in place of those that a filter names (see `with_rare`)."""

_TRIGRAM = 3
SHORTEST = 2 * _TRIGRAM - 1
"""So many characters have a whole trigram among them wherever they are."""
_SAMPLE_RARE = statement(
    text(
        """
        SELECT wanted
        FROM unnest(:texts) AS wanted, memberships
        CROSS JOIN LATERAL (
            (SELECT title FROM tasks WHERE tasks.workspace_id = memberships.workspace_id ORDER BY id LIMIT 500)
            UNION ALL
            (SELECT title FROM tasks WHERE tasks.workspace_id = memberships.workspace_id ORDER BY id DESC LIMIT 500)
        ) AS sampled
        WHERE memberships.user_id = :user_id AND NOT memberships.removed
            AND (CAST(:workspace_id AS uuid) IS NULL OR memberships.workspace_id = :workspace_id)
        GROUP BY wanted
        HAVING avg(CAST(strpos(lower(title COLLATE "C"), lower(wanted COLLATE "C")) > 0 AS integer)) < 0.003
        """
    ).bindparams(bindparam("texts", type_=ARRAY(Text)), bindparam("workspace_id", type_=PgUUID))
)
"""The texts that less than three of a thousand titles have, of the oldest and the newest of each workspace. Then to go
through enough tasks for a page costs as much as to read what the index has, which must be read to the end."""
_TITLED = TASKS.alias("titled")


async def rare(
    reader: Reader, found: Filter | None, *, user_id: UUID, workspace_id: UUID | None
) -> Collection[Contains]:
    """The parts of a filter that ask for texts that hardly any title has; a query, if it asks for texts in titles."""
    asked = _texts(found)
    if not asked:
        return ()
    texts = [each.text for each in asked]
    rows = await reader.fetch(_SAMPLE_RARE, user_id=user_id, workspace_id=workspace_id, texts=texts)
    wanted = {row["wanted"] for row in rows}
    return [each for each in asked if each.text in wanted]


def with_rare(found: Filter, texts: Collection[Contains]) -> Filter:
    """The filter with `RARE` in place of these parts of it."""
    match found:
        case And(parts):
            return And(tuple(with_rare(part, texts) for part in parts))
        case Contains() if found in texts:
            return OneOf(RARE, (found.text,))
    return found


def has_rare(wanted: Any) -> ColumnElement[bool]:
    """The title has one of an array of texts: as ids that do not depend on the task, for the index of these."""
    sought: ColumnElement[Any] = func.unnest(wanted).column_valued("sought")
    title, workspace_id = _TITLED.c.title, _TITLED.c.workspace_id
    trigrams = func.title_trigrams(workspace_id, title, type_=ARRAY(Text))
    own = [
        func.title_trigrams(MEMBERSHIPS.c.workspace_id, func.substr(sought, first), type_=ARRAY(Text))
        for first in range(1, _TRIGRAM + 1)
    ]
    ids = (
        select(_TITLED.c.id)
        .where(
            workspace_id == MEMBERSHIPS.c.workspace_id,
            contains(title, sought),
            or_(*(trigrams.contains(each) for each in own)),
        )
        .correlate(MEMBERSHIPS)
        .scalar_subquery()
    )
    has: ColumnElement[bool] = TASKS.c.id == func.any(func.array(ids))
    return has


def _texts(found: Filter | None) -> Sequence[Contains]:
    match found:
        case And(parts):
            return [each for part in parts for each in _texts(part)]
        case Contains(field, sought) if field.name == "title" and len(sought) >= SHORTEST:
            return [found]
    return []

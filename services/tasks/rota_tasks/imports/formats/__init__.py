"""Readers of files, one for each format: the parts of a file and the names of its columns -> its records, in order.

What a record refers to comes before it. Readers run in a thread of their own and keep no more than ids beside the
document itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_tasks.imports.domain import Format
from rota_tasks.imports.formats import rota, tables, todoist, trello, vikunja

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rota_tasks.imports.domain import Record

READERS: Mapping[Format, Callable[[Sequence[str], Mapping[str, str]], Iterator[Record]]] = {
    Format.ROTA: rota.records,
    Format.CSV: tables.records,
    Format.TODOIST_CSV: tables.todoist_records,
    Format.TODOIST: todoist.records,
    Format.VIKUNJA: vikunja.records,
    Format.TRELLO: trello.records,
}

"""Puts read tables right by the event log while the service serves.

The log is replayed into shadow tables: temporary tables with the names, columns, indexes and references of the read
tables. The session that rebuilds sees them in the place of those, so that projections fill them unchanged; they end
with it, whatever it dies of. Then the read tables are compared with them, and rows that differ are made anew, a few at
a time. What is right is never touched.

Who is in charge: the log. Every writer writes it as the last step of a transaction, so whoever has it alone (`_alone`)
finds all of it committed, and knows that a row which nobody holds is as the committed log says, or wrong. Races:

- A row changes after it was compared: it is compared again, after the log has been followed, before it is touched.
- A row is held by a writer: it is passed over, and looked at again.
- Writers wait for the rebuild, and it for a row that one of them holds: it gives up first, since it waits `_WAIT_MS` at
  most, and tries again.

So readers never wait; writers do at the end of their transactions, while the rebuild replays what came in the last
milliseconds and repairs `_AT_ONCE` rows.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
from rota_chassis.errors import Unavailable
from rota_chassis.logs import logger
from rota_chassis.postgres.work import UnitOfWork

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

_LOG = logger(__name__)
_FETCH = 500
_AT_ONCE = 200
_LITTLE = 50
_ROUNDS = 20
_WAIT_MS = 100
_ATTEMPTS = 100
_PAUSE_S = 0.1
# Longer than `deadlock_timeout`, after which PostgreSQL ends an automatic VACUUM of the log that is in the way.
_PATIENT_MS, _PATIENT_EVERY = 1_500, 25

_EVENTS = """
    SELECT position, aggregate, type, schema_version, data FROM events
    WHERE position > $1 AND position <= $2 AND aggregate = ANY($3) ORDER BY position LIMIT $4
"""
_COLUMNS = """
    SELECT c.relname::text AS name, a.attname::text AS column, format_type(a.atttypid, a.atttypmod) AS type
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.oid = ANY($1::text[]::regclass[]) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
    ORDER BY a.attnum
"""
_REFERENCES = """
    SELECT c.relname::text AS name, pg_get_constraintdef(f.oid) AS definition
    FROM pg_constraint f JOIN pg_class c ON c.oid = f.conrelid
    WHERE f.contype = 'f' AND f.conrelid = ANY($1::text[]::regclass[]) AND f.confrelid = ANY($1::text[]::regclass[])
"""


class Shadow:
    """Shadow tables of one session, which is theirs alone and ends with them, and how far they have followed the log.

    Args:
        connection: The session.
        tables: The tables that projections write, each with its key, those that others refer to first.
        besides: Tables that projections write too, but that the log does not tell of: their shadows are forgotten.
        aggregates: Whose events to replay.
        replay: Lets events take effect in the shadow tables: rows of the log in order, as `log.data_of` needs them.
    """

    def __init__(
        self,
        connection: asyncpg.Connection,
        tables: Mapping[str, str],
        besides: Sequence[str],
        aggregates: Sequence[str],
        replay: Callable[[UnitOfWork, Sequence[Mapping[str, Any]]], Awaitable[None]],
    ) -> None:
        self._connection = connection
        self._tables = {name: tuple(key.split(", ")) for name, key in tables.items()}
        self._besides = besides
        self._aggregates = list(aggregates)
        self._replay_events = replay
        self._types: dict[str, dict[str, str]] = {}
        self._schema = "public"
        self._position = 0
        self.events = 0
        self.longest_wait_s = 0.0

    async def create(self) -> None:
        """Make them, empty."""
        connection = self._connection
        self._schema = await connection.fetchval("SELECT current_schema()")
        names = [*self._tables, *self._besides]
        for row in await connection.fetch(_COLUMNS, names):
            self._types.setdefault(row["name"], {})[row["column"]] = row["type"]
        references = await connection.fetch(_REFERENCES, names)
        # Explicitly, so that statements which were prepared before are planned again.
        await connection.execute(f"SET search_path = pg_temp, {self._schema}")
        await connection.execute("SET statement_timeout = 0")
        for name in names:
            await connection.execute(f"CREATE TEMP TABLE {name} (LIKE {self._live(name)} INCLUDING ALL)")
        for row in references:
            await connection.execute(f"ALTER TABLE {row['name']} ADD {row['definition']}")

    async def follow(self) -> None:
        """Replay the log until little of it is left, without stopping anybody."""
        for _ in range(_ROUNDS):
            before = self.events
            async with self._alone():
                end = await self._end()
            await self._replay(end)
            if self.events - before <= _LITTLE:
                return

    async def repair(self, names: Sequence[str]) -> Mapping[str, int]:
        """Make the rows anew that differ from their shadows, in these tables; how many those were in each.

        Raises:
            Unavailable: some rows are never free, or fit nowhere (code REBUILD_INCOMPLETE).
        """
        repaired = dict.fromkeys(names, 0)
        for _ in range(_ROUNDS):
            # Once more after a repair, since some rows have to wait for others.
            done = left = 0
            for name in names:
                await self._connection.execute(f"ANALYZE {name}")
                async for keys in self._differing(name):
                    made, missed = await self._repair(name, keys)
                    repaired[name] += made
                    done, left = done + made, left + missed
            if not done and not left:
                return repaired
        raise Unavailable(
            "Some rows could not be repaired, since others are in their way; see the log of this run, and try again.",
            code="REBUILD_INCOMPLETE",
        )

    async def count(self, name: str) -> int:
        """How many rows the log gives a table."""
        rows: int = await self._connection.fetchval(f"SELECT count(*) FROM {name}")  # noqa: S608 (a name of ours)
        return rows

    async def _replay(self, end: int) -> None:
        while self._position < end:
            rows = await self._connection.fetch(_EVENTS, self._position, end, self._aggregates, _FETCH)
            async with self._connection.transaction():
                await self._replay_events(UnitOfWork.joining(self._connection), rows)
            self._position = rows[-1]["position"] if len(rows) == _FETCH else end
            self.events += len(rows)

    async def _end(self) -> int:
        end: int = await self._connection.fetchval("SELECT coalesce(max(position), 0) FROM events")
        return end

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """A transaction that has the log alone: each event in it is committed, and no other comes."""
        for attempt in range(1, _ATTEMPTS + 1):
            began, position, events = time.monotonic(), self._position, self.events
            try:
                async with self._connection.transaction():
                    wait_ms = _WAIT_MS if attempt % _PATIENT_EVERY else _PATIENT_MS
                    await self._connection.execute(f"SET LOCAL lock_timeout = {wait_ms}")
                    try:
                        await self._connection.execute("LOCK TABLE events IN EXCLUSIVE MODE")
                    except asyncpg.LockNotAvailableError as error:
                        raise _Busy from error
                    await self._connection.execute(f"SET LOCAL lock_timeout = {_WAIT_MS}")
                    yield
            except _Busy:
                await asyncio.sleep(_PAUSE_S)
            except BaseException:
                self._position, self.events = position, events
                raise
            else:
                return
            finally:
                self.longest_wait_s = max(self.longest_wait_s, time.monotonic() - began)
        raise Unavailable("The event log is never free; try again later.", code="DATABASE_UNAVAILABLE")

    async def _differing(self, name: str) -> AsyncIterator[Sequence[tuple[Any, ...]]]:
        """Keys of the rows that differ, are missing or too many, some at a time."""
        key, cursor = ", ".join(self._tables[name]), f"differing_{name}"
        # The cursor's rows are kept by the server; so nothing is written in its transaction, and it delays nobody.
        await self._connection.execute(
            f"DECLARE {cursor} CURSOR WITH HOLD FOR "  # noqa: S608 (names of ours)
            f"SELECT {key} FROM {self._live(name)} live FULL JOIN {name} shadow USING ({key}) "
            f"WHERE live IS DISTINCT FROM shadow ORDER BY {key}"
        )
        try:
            while keys := await self._connection.fetch(f"FETCH {_AT_ONCE} FROM {cursor}"):
                yield [tuple(row) for row in keys]
        finally:
            await self._connection.execute(f"CLOSE {cursor}")

    async def _repair(self, name: str, keys: Sequence[tuple[Any, ...]]) -> tuple[int, int]:
        """Repair rows, if they still differ; how many were, and how many could not be."""
        repaired = 0
        for attempt in range(_ROUNDS):
            if attempt:
                await asyncio.sleep(_PAUSE_S)
            await self.follow()
            keys = await self._still_differing(name, keys)
            if not keys:
                break
            try:
                async with self._alone():
                    await self._replay(await self._end())
                    repaired += await self._put_right(name, keys)
            except asyncpg.LockNotAvailableError:
                continue
            except asyncpg.IntegrityConstraintViolationError as error:
                if len(keys) == 1:
                    _LOG.warning("rebuild.row_waits", table=name, key=[str(each) for each in keys[0]], error=str(error))
                    break
                half = len(keys) // 2
                first, second = await self._repair(name, keys[:half]), await self._repair(name, keys[half:])
                return repaired + first[0] + second[0], first[1] + second[1]
        return repaired, len(keys)

    async def _still_differing(self, name: str, keys: Sequence[tuple[Any, ...]]) -> Sequence[tuple[Any, ...]]:
        key = ", ".join(self._tables[name])
        rows = await self._connection.fetch(
            f"SELECT {key} FROM {self._asked(name)} "  # noqa: S608 (names of ours)
            f"LEFT JOIN {self._live(name)} live USING ({key}) LEFT JOIN {name} shadow USING ({key}) "
            "WHERE live IS DISTINCT FROM shadow",
            *map(list, zip(*keys, strict=True)),
        )
        return [tuple(row) for row in rows]

    async def _put_right(self, name: str, keys: Sequence[tuple[Any, ...]]) -> int:
        """Make these rows as their shadows are, those apart that others hold; how many were not."""
        live, asked = self._live(name), self._asked(name)
        key = ", ".join(self._tables[name])
        arguments = [*map(list, zip(*keys, strict=True))]
        there = await self._connection.fetch(f"SELECT {key} FROM {asked} JOIN {live} USING ({key})", *arguments)  # noqa: S608
        free = await self._connection.fetch(
            f"SELECT {key} FROM {asked} JOIN {live} live USING ({key}) FOR UPDATE OF live SKIP LOCKED",  # noqa: S608
            *arguments,
        )
        held = {tuple(row) for row in there} - {tuple(row) for row in free}
        todo = [each for each in keys if each not in held]
        if not todo:
            return 0
        arguments = [*map(list, zip(*todo, strict=True))]
        same = " AND ".join(f"live.{column} = asked.{column}" for column in self._tables[name])
        deleted = await self._connection.execute(
            f"DELETE FROM {live} live USING {asked} "  # noqa: S608 (names of ours)
            f"WHERE {same} AND NOT EXISTS (SELECT FROM {name} shadow WHERE {same.replace('live.', 'shadow.')})",
            *arguments,
        )
        columns = [f'"{column}"' for column in self._types[name]]
        others = [column for column in columns if column.strip('"') not in self._tables[name]]
        saved = await self._connection.execute(
            f"INSERT INTO {live} AS live ({', '.join(columns)}) "  # noqa: S608 (names of ours)
            f"SELECT {', '.join(f'shadow.{column}' for column in columns)} FROM {name} shadow JOIN {asked} "
            f"ON {same.replace('live.', 'shadow.')} ON CONFLICT ({key}) DO UPDATE "
            f"SET {', '.join(f'{column} = excluded.{column}' for column in others)} "
            f"WHERE ROW({', '.join(f'live.{column}' for column in others)}) "
            f"IS DISTINCT FROM ROW({', '.join(f'excluded.{column}' for column in others)})",
            *arguments,
        )
        return sum(int(tag.rpartition(" ")[2]) for tag in (deleted, saved))

    def _live(self, name: str) -> str:
        return f"{self._schema}.{name}"

    def _asked(self, name: str) -> str:
        """The keys given as arguments, one array for each column."""
        key = self._tables[name]
        arrays = ", ".join(f"${place}::{self._types[name][column]}[]" for place, column in enumerate(key, start=1))
        return f"unnest({arrays}) asked ({', '.join(key)})"


class _Busy(Exception):
    """Somebody writes to the log at this moment."""

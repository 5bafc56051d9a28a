"""Local time and instants: IANA time zones, gaps and folds.

The data are those of the `tzdata` package, never the machine's, so that every replica computes the same times.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import resources
from zoneinfo import ZoneInfo

_SECOND = timedelta(seconds=1)
# No zone is known to change its offset and change it back within this.
_SCAN_STEP = timedelta(days=7)


class UnknownZone(ValueError):
    """There is no IANA time zone of that name."""


@cache
def zone(name: str) -> ZoneInfo:
    """The time zone of an IANA name, for example "Europe/Warsaw".

    Raises:
        UnknownZone: there is none.
    """
    if name not in _names():
        raise UnknownZone(name)
    with resources.files("tzdata.zoneinfo").joinpath(*name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


@cache
def _names() -> frozenset[str]:
    return frozenset(resources.files("tzdata").joinpath("zones").read_text(encoding="utf-8").split())


def local_time(instant: datetime, where: ZoneInfo) -> datetime:
    """What a clock on the wall shows at an instant, naive."""
    return instant.astimezone(where).replace(tzinfo=None)


def offset(instant: datetime, where: ZoneInfo) -> timedelta:
    """How far the clock on the wall is ahead of UTC at an instant."""
    return local_time(instant, where) - instant.astimezone(UTC).replace(tzinfo=None)


def resolve(local: datetime, where: ZoneInfo) -> datetime:
    """The instant at which the clock on the wall shows a naive time, in UTC.

    A time that is skipped (gap) gives the instant at which the gap ends, one that comes twice (fold) the first.
    """
    early = local.replace(tzinfo=where, fold=0).astimezone(UTC)
    if local_time(early, where) == local:
        return early
    # In a gap, fold 0 counts with the offset before it and so lies after the change, fold 1 the other way round.
    late = local.replace(tzinfo=where, fold=1).astimezone(UTC)
    return _change_between(late, early, where)


def comes_twice(instant: datetime, where: ZoneInfo) -> bool:
    """Whether the clock on the wall shows the time of an instant twice."""
    local = local_time(instant, where)
    first, second = (local.replace(tzinfo=where, fold=fold).utcoffset() for fold in (0, 1))
    return first is not None and second is not None and first > second


def first_change(start: datetime, end: datetime, where: ZoneInfo) -> datetime | None:
    """The first instant after `start`, up to `end`, at which the zone's offset is a new one, or None."""
    low = start
    while low < end:
        high = min(low + _SCAN_STEP, end)
        if offset(high, where) != offset(low, where):
            return _change_between(low, high, where)
        low = high
    return None


def _change_between(low: datetime, high: datetime, where: ZoneInfo) -> datetime:
    """The second at which the offset of `low` ends, which is no longer that of `high`."""
    before = offset(low, where)
    # Offsets change at whole seconds.
    low, high = (
        low.replace(microsecond=0),
        high.replace(microsecond=0) + (_SECOND if high.microsecond else timedelta(0)),
    )
    while high - low > _SECOND:
        middle = low + timedelta(seconds=(high - low) // _SECOND // 2)
        if offset(middle, where) == before:
            low = middle
        else:
            high = middle
    return high

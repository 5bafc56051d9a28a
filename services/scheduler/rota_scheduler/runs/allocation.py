"""Which of the runs that share something may start: what is free, divided in the order in which they stand.

A run stands in the order of its rank. It starts when its concurrency key has a place for it, its rate limit a start,
and every pool that it asks for the units; one that waits for units keeps them from those behind it, so that whoever
asks for many is not overtaken for ever. What waits for its key or its rate keeps nothing from others.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime


Key = tuple[UUID, str]
"""A workspace, and the name of something in it."""
SHARES = frozenset(
    {
        *("priority", "concurrency_key", "concurrency_limit", "concurrency_policy", "concurrency_group"),
        *("rate_limit", "resources"),
    }
)
"""The members of rota.scheduler.v1.CreateRunRequest that say what a run shares with others."""
_MOST = 2**31 - 1
SUPERSEDED = "A run of its concurrency key that was meant for a later time has taken its place."
NO_PLACE = "As many runs of its concurrency key were running as may."


class ConcurrencyPolicy(StrEnum):
    """What happens when a run could start and as many of its key run as may; the values of the contract."""

    QUEUE = "queue"
    CANCEL_IN_PROGRESS = "cancel_in_progress"
    CANCEL_NEWEST = "cancel_newest"
    ROUND_ROBIN = "round_robin"


class WaitReason(StrEnum):
    """Why a run does not start whose time has come; the values of the contract."""

    CONCURRENCY = "concurrency"
    RATE_LIMIT = "rate_limit"
    RESOURCES = "resources"
    RESOURCE_POOL = "resource_pool"


class RateLimit(NamedTuple):
    """At most `limit` starts in any `period_s` seconds."""

    limit: int
    period_s: int


def allocation_of(
    *,
    concurrency_key: str | None,
    concurrency_policy: str | None = None,
    concurrency_group: str | None = None,
    rate_limit: Mapping[str, int] | None = None,
    resources: Mapping[str, int] | None = None,
) -> Mapping[str, Any] | None:
    """What a run keeps of these; None when it shares nothing beyond the number of its key, as most do.

    `lane` tells apart, among runs of one key, those that do not wait for the same.
    """
    allocation: dict[str, Any] = {}
    if concurrency_key is not None:
        if concurrency_policy not in (None, ConcurrencyPolicy.QUEUE):
            allocation["policy"] = str(concurrency_policy)
        if concurrency_group is not None:
            allocation["group"] = concurrency_group
        if rate_limit is not None:
            allocation["rate"] = dict(rate_limit)
    if resources:
        allocation["resources"] = dict(resources)
    if not allocation:
        return None
    shared = repr((allocation.get("policy"), allocation.get("group"), sorted(allocation.get("resources", ()))))
    return {**allocation, "lane": hashlib.blake2b(shared.encode(), digest_size=8).hexdigest()}


def shares_of(allocation: Any) -> dict[str, Any]:
    """The fields of `Candidate` that `allocation_of` has written.

    Raises:
        ValueError: it is nothing that this has ever written.
    """
    try:
        found = dict(allocation or {})
        rate = found.get("rate")
        return {
            "rate": RateLimit(_whole(rate["limit"]), _whole(rate["period_s"])) if rate else None,
            "policy": ConcurrencyPolicy(found.get("policy") or ConcurrencyPolicy.QUEUE),
            "group": "".join(found.get("group") or ""),
            "resources": {name: _whole(units) for name, units in dict(found.get("resources") or {}).items()},
        }
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"its allocation cannot be read: {error!r}") from error


def _whole(number: Any) -> int:
    if not isinstance(number, int) or not 0 <= number <= _MOST:
        raise ValueError(f"{number!r} is no number")
    return number


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A run whose time has come, or whose lease is over.

    Attributes:
        key: Its concurrency key, if it has one, of which `limit` may run.
        rate: How often runs of the key may start, if there is a limit.
        turn: What counts before the rank: those with a lower one come first.
    """

    workspace_id: UUID
    id: UUID
    schedule_id: UUID
    nominal_time: datetime
    rank: float
    has_begun: bool = False
    key: str | None = None
    limit: int = 1
    rate: RateLimit | None = None
    policy: ConcurrencyPolicy = ConcurrencyPolicy.QUEUE
    group: str = ""
    resources: Mapping[str, int] = field(default_factory=dict)
    turn: int = 0

    @property
    def keyed(self) -> Key:
        """Its concurrency key in its workspace."""
        return self.workspace_id, self.key or ""

    @property
    def pools(self) -> Iterable[tuple[Key, int]]:
        """What it asks for, by the pool in its workspace."""
        return [((self.workspace_id, name), units) for name, units in self.resources.items()]


class Holder(NamedTuple):
    """A run of a key that runs."""

    id: UUID
    schedule_id: UUID
    nominal_time: datetime


@dataclass(slots=True)
class Usage:
    """What is taken.

    Attributes:
        running: How many of a concurrency key run.
        holders: Which those are, of keys where a run may take the place of another.
        starts: How many of a key have started within a period of so many seconds.
        served: When a group of a key had its last turn, by workspace, key and group.
        free: Units of a pool that nobody has; a pool that is not there does not exist.
        units: How many units a pool has.
    """

    running: defaultdict[Key, int] = field(default_factory=lambda: defaultdict(int))
    holders: dict[Key, list[Holder]] = field(default_factory=dict)
    starts: Mapping[tuple[UUID, str, int], int] = field(default_factory=dict)
    served: Mapping[tuple[UUID, str, str], datetime] = field(default_factory=dict)
    free: dict[Key, int] = field(default_factory=dict)
    units: Mapping[Key, int] = field(default_factory=dict)


class Cancelled(NamedTuple):
    """A run that is to end, and why."""

    workspace_id: UUID
    id: UUID
    schedule_id: UUID
    reason: str


@dataclass(slots=True)
class Allotted:
    """Which runs start, in their order, and which end for it.

    Attributes:
        unreadable: Rows of runs that could not be considered, since nobody can tell what they share; and why.
    """

    starts: dict[UUID, Candidate] = field(default_factory=dict)
    cancelled: list[Cancelled] = field(default_factory=list)
    unreadable: Sequence[tuple[Mapping[str, Any], Exception]] = ()


def allot(
    candidates: Sequence[Candidate], usage: Usage, *, limit: int, held: Mapping[UUID, int] | None = None
) -> Allotted:
    """Divide what is free among runs.

    Args:
        candidates: The runs, each once.
        usage: What is taken; used up.
        limit: How many start at most.
        held: How many runs of each workspace whoever asks has already; workspaces then take turns, those first that
            have fewest. None when there is room for all, so that the rank alone counts.
    """
    allotted, started = Allotted(), defaultdict[Key, int](int)
    for run in _in_order(candidates, usage, held):
        if len(allotted.starts) >= limit:
            break
        if run.key is not None and not _finds_place(run, usage, allotted):
            continue
        if run.rate is not None:
            known = usage.starts.get((*run.keyed, run.rate.period_s), 0)
            if known + started[run.keyed] >= run.rate.limit:
                continue
        if not _takes_units(run, usage):
            continue
        _make_room(run, usage, allotted)
        allotted.starts[run.id] = run
        usage.running[run.keyed] += 1
        started[run.keyed] += 1
    return allotted


def wait_reason(run: Candidate, usage: Usage) -> WaitReason | None:
    """What keeps a run from starting if nobody stands before it; None when nothing does."""
    if run.key is not None and usage.running[run.keyed] >= run.limit:
        return WaitReason.CONCURRENCY
    if run.rate is not None and usage.starts.get((*run.keyed, run.rate.period_s), 0) >= run.rate.limit:
        return WaitReason.RATE_LIMIT
    if never_fits(run, usage):
        return WaitReason.RESOURCE_POOL
    if any(usage.free[pool] < units for pool, units in run.pools):
        return WaitReason.RESOURCES
    return None


def never_fits(run: Candidate, usage: Usage) -> bool:
    """Whether a pool that it asks for is not there, or has too few units even when none is taken."""
    return any(units > usage.units.get(pool, -1) for pool, units in run.pools)


def _in_order(candidates: Sequence[Candidate], usage: Usage, held: Mapping[UUID, int] | None) -> Sequence[Candidate]:
    ordered = sorted(candidates, key=lambda run: (run.rank, run.id))
    turning = defaultdict[Key, list[Candidate]](list)
    for run in ordered:
        if run.policy is ConcurrencyPolicy.ROUND_ROBIN:
            turning[run.keyed].append(run)
    if turning:
        # In the places of the runs of a key, these runs by the turns of their groups.
        by_turns = {key: iter(_by_turns(runs, usage)) for key, runs in turning.items()}
        ordered = [next(by_turns[run.keyed]) if run.policy is ConcurrencyPolicy.ROUND_ROBIN else run for run in ordered]
    if held is None:
        return ordered
    places = defaultdict[UUID, int](int, held)
    turned = []
    for run in ordered:
        places[run.workspace_id] += 1
        turned.append(replace(run, turn=places[run.workspace_id]))
    return sorted(turned, key=lambda run: run.turn)


def _by_turns(runs: Sequence[Candidate], usage: Usage) -> Iterable[Candidate]:
    """The first of each group, then the second of each; the group that has waited longest for a turn comes first."""
    groups = defaultdict[str, list[Candidate]](list)
    for run in runs:
        groups[run.group].append(run)

    def last_turn(group: str) -> tuple[bool, Any]:
        served = usage.served.get((*runs[0].keyed, group))
        return served is not None, served

    first = sorted(groups, key=last_turn)
    return (run for run in chain(*zip_longest(*(groups[group] for group in first))) if run is not None)


def _finds_place(run: Candidate, usage: Usage, allotted: Allotted) -> bool:
    """Whether its key has a place for it, or will have one; a run that finds none may have to end."""
    if usage.running[run.keyed] < run.limit:
        return True
    if run.policy is ConcurrencyPolicy.CANCEL_IN_PROGRESS:
        earlier = sum(_precedes(holder, run) for holder in _holders(run, usage, allotted))
        if usage.running[run.keyed] - earlier < run.limit:
            return True
        allotted.cancelled.append(Cancelled(run.workspace_id, run.id, run.schedule_id, SUPERSEDED))
    elif run.policy is ConcurrencyPolicy.CANCEL_NEWEST and not run.has_begun:
        allotted.cancelled.append(Cancelled(run.workspace_id, run.id, run.schedule_id, NO_PLACE))
    return False


def _takes_units(run: Candidate, usage: Usage) -> bool:
    """Take the units, or keep them from those behind it until there are enough; not when there never can be."""
    if never_fits(run, usage):
        return False
    for pool, units in run.pools:
        usage.free[pool] -= units
    return all(usage.free[pool] >= 0 for pool, _ in run.pools)


def _make_room(run: Candidate, usage: Usage, allotted: Allotted) -> None:
    """End those in whose place a run starts."""
    while run.key is not None and usage.running[run.keyed] >= run.limit:
        earliest = min(_holders(run, usage, allotted), key=lambda holder: (holder.nominal_time, holder.id))
        usage.running[run.keyed] -= 1
        allotted.cancelled.append(Cancelled(run.workspace_id, earliest.id, earliest.schedule_id, SUPERSEDED))
        if allotted.starts.pop(earliest.id, None) is None:
            usage.holders[run.keyed].remove(earliest)


def _holders(run: Candidate, usage: Usage, allotted: Allotted) -> list[Holder]:
    """What runs of its key, or is about to."""
    about_to = (
        Holder(each.id, each.schedule_id, each.nominal_time)
        for each in allotted.starts.values()
        if each.keyed == run.keyed
    )
    return [*usage.holders.get(run.keyed, ()), *about_to]


def _precedes(holder: Holder, run: Candidate) -> bool:
    return (holder.nominal_time, holder.id) < (run.nominal_time, run.id)

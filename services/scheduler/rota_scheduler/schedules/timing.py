"""From an author's words to nominal times."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota_scheduler.schedules.cron import CronExpression, InvalidCron, NeverFires
from rota_scheduler.schedules.local import DstFold, DstGap, Zoned
from rota_scheduler.schedules.recurrence import InvalidRecurrence, NeverRecurs, RecurrenceRule
from rota_scheduler.schedules.spec import EARLIEST, LATEST, Beat, Delay, Exclusions, Interval, Once, Union
from rota_scheduler.schedules.zones import UnknownZone, resolve, zone

if TYPE_CHECKING:
    from collections.abc import Mapping
    from zoneinfo import ZoneInfo

    from rota_scheduler.schedules.spec import Spec

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_RULES_KEPT = 10_000
_COMPLETION = "completion"


class RefusedTiming(ValueError):
    """An author's words that mean no times.

    Attributes:
        code: Stable reason, UPPER_SNAKE.
        field: The field that is wrong.
        description: What is wrong with it, for a person.
    """

    def __init__(self, code: str, field: str, description: str) -> None:
        super().__init__(f"The schedule's {field} {description}.")
        self.code = code
        self.field = field
        self.description = description


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When a schedule fires, in the words of its author: exactly one of the first four.

    Attributes:
        cron: Expression, read in the schedule's time zone.
        interval_s: Seconds, counted from the schedule's creation.
        at: The one time.
        spec: In the JSON form of rota.scheduler.v1.ScheduleSpec.
        timezone: IANA name.
        dst_gap: What becomes of local times that are skipped.
        dst_fold: Which instants local times mean that come twice.
    """

    cron: str | None = None
    interval_s: int | None = None
    at: datetime | None = None
    spec: Mapping[str, Any] | None = None
    timezone: str = "UTC"
    dst_gap: DstGap = DstGap.GAP_END
    dst_fold: DstFold = DstFold.FIRST

    @property
    def delay_s(self) -> int | None:
        """Seconds from the end of a run to the next time, when times count from that; None when they do not."""
        if self.spec is None or self.spec.get("anchor") != _COMPLETION:
            return None
        found: int | None = self.spec["every_s"]
        return found

    @property
    def calendar_ids(self) -> tuple[UUID, ...]:
        """The calendars that it names, each once; what they mean is not the author's to say (see `days_off`)."""
        return tuple(dict.fromkeys((*self.excluded_calendar_ids, *self.only_calendar_ids)))

    @property
    def excluded_calendar_ids(self) -> tuple[UUID, ...]:
        """The calendars whose days do not fire."""
        return self._calendars("exclude_calendars")

    @property
    def only_calendar_ids(self) -> tuple[UUID, ...]:
        """The calendars on whose days alone it fires; none for all days."""
        return self._calendars("only_calendars")

    def _calendars(self, member: str) -> tuple[UUID, ...]:
        return () if self.spec is None else tuple(UUID(each) for each in self.spec.get(member) or ())


def spec_of(timing: Timing, *, created_at: datetime, seed: str = "") -> Spec:
    """The nominal times that the author's words mean.

    Args:
        timing: The words.
        created_at: What an interval counts from, and where a recurrence without `dtstart` starts.
        seed: What `H` in cron expressions depends on.

    Raises:
        RefusedTiming: the zone is unknown (code UNKNOWN_TIME_ZONE), the cron expression is none (INVALID_CRON), the
            recurrence rule is none (INVALID_RRULE), members contradict each other (INVALID_SPEC), or there are no times
            (SCHEDULE_NEVER_FIRES).
    """
    try:
        where = zone(timing.timezone)
    except UnknownZone as error:
        raise RefusedTiming(
            "UNKNOWN_TIME_ZONE", "timezone", "is not an IANA time zone such as Europe/Warsaw"
        ) from error
    if timing.at is not None:
        return Once(timing.at)
    if timing.interval_s is not None:
        return Interval(timing.interval_s, created_at)
    words = _Words(timing, where, created_at, seed)
    if timing.spec is None:
        return words.cron(timing.cron or "", "cron")
    return words.spec(timing.spec)


@dataclass(frozen=True, slots=True)
class _Words:
    """Reads the words of one author."""

    timing: Timing
    where: ZoneInfo
    created_at: datetime
    seed: str

    def spec(self, spec: Mapping[str, Any]) -> Spec:
        """A whole specification."""
        rules = [(f"spec.union[{index}]", rule) for index, rule in enumerate(spec["union"])] or [("spec", spec)]
        if spec["union"]:
            self._check_members(spec, "spec")
        if spec.get("anchor") is not None and (spec["every_s"] is None or spec["phase_s"] is not None):
            raise RefusedTiming("INVALID_SPEC", "spec.anchor", "needs an every_s, without a phase_s")
        members = tuple(self._rule(rule, field) for field, rule in rules)
        if len(members) == 1 and not spec["exclude"]:
            return members[0]
        return Union(members, self._exclusions(spec["exclude"]))

    def cron(self, text: str, field: str) -> Spec:
        """A cron expression."""
        try:
            return self._zoned(_cron(text, self.seed))
        except InvalidCron as error:
            raise RefusedTiming("INVALID_CRON", field, f"is not a cron expression: {error}") from error
        except NeverFires as error:
            raise RefusedTiming("SCHEDULE_NEVER_FIRES", field, "matches no date") from error

    def _rule(self, rule: Mapping[str, Any], field: str) -> Spec:
        self._check_members(rule, field)
        if rule["at"] is not None:
            at = datetime.fromisoformat(rule["at"])
            if not EARLIEST <= at < LATEST:
                raise RefusedTiming("INVALID_SPEC", f"{field}.at", "is not in the years 1900 to 9899")
            return Once(at)
        if rule["every_s"] is not None and rule.get("anchor") == _COMPLETION:
            return Delay(rule["every_s"])
        if rule["every_s"] is not None:
            return Beat(rule["every_s"], rule["phase_s"] or 0)
        if rule["cron"] is not None:
            return self.cron(rule["cron"], f"{field}.cron")
        try:
            return self._zoned(_recurrence(rule["rrule"], self._dtstart(rule["dtstart"], field), self.where))
        except InvalidRecurrence as error:
            raise RefusedTiming("INVALID_RRULE", f"{field}.rrule", f"is not a recurrence rule: {error}") from error
        except NeverRecurs as error:
            raise RefusedTiming("SCHEDULE_NEVER_FIRES", f"{field}.rrule", "matches no date") from error

    def _zoned(self, times: CronExpression | RecurrenceRule) -> Zoned:
        return Zoned(times, self.where, self.timing.dst_gap, self.timing.dst_fold)

    def _check_members(self, rule: Mapping[str, Any], field: str) -> None:
        if rule["phase_s"] is not None and (rule["every_s"] is None or rule["phase_s"] >= rule["every_s"]):
            raise RefusedTiming("INVALID_SPEC", f"{field}.phase_s", "needs an every_s that is longer")
        if rule["dtstart"] is not None and rule["rrule"] is None:
            raise RefusedTiming("INVALID_SPEC", f"{field}.dtstart", "needs an rrule")

    def _dtstart(self, text: str | None, field: str) -> datetime:
        if text is None:
            return self.created_at.astimezone(self.where).replace(tzinfo=None, microsecond=0)
        start = _local(text, f"{field}.dtstart")
        if not EARLIEST.year <= start.year < LATEST.year:
            raise RefusedTiming("INVALID_SPEC", f"{field}.dtstart", "is not in the years 1900 to 9899")
        return start

    def _exclusions(self, texts: list[str]) -> Exclusions:
        days: set[date] = set()
        instants: set[datetime] = set()
        for index, text in enumerate(texts):
            field = f"spec.exclude[{index}]"
            if _DATE.fullmatch(text):
                days.add(_date(text, field))
                continue
            moment = _moment(text, field)
            instants.update([moment] if moment.tzinfo else self._both(moment))
        return Exclusions(self.where, frozenset(days), frozenset(instants))

    def _both(self, local: datetime) -> set[datetime]:
        """Every instant that a local time may have become."""
        folds = {local.replace(tzinfo=self.where, fold=fold).astimezone(UTC) for fold in (0, 1)}
        return folds | {resolve(local, self.where)}


@lru_cache(maxsize=_RULES_KEPT)
def _cron(text: str, seed: str) -> CronExpression:
    return CronExpression(text, seed)


@lru_cache(maxsize=_RULES_KEPT)
def _recurrence(text: str, dtstart: datetime, where: ZoneInfo) -> RecurrenceRule:
    return RecurrenceRule(text, dtstart, where)


def _date(text: str, field: str) -> date:
    try:
        found = date.fromisoformat(text)
    except ValueError as error:
        raise RefusedTiming("INVALID_SPEC", field, "is no date") from error
    return found


def _moment(text: str, field: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
        if not EARLIEST.year <= found.year < LATEST.year:
            raise RefusedTiming("INVALID_SPEC", field, "is not in the years 1900 to 9899")
        return found.astimezone(UTC) if found.tzinfo else found
    except (ValueError, OverflowError) as error:
        if isinstance(error, RefusedTiming):
            raise
        raise RefusedTiming("INVALID_SPEC", field, "is no date, local time or instant") from error


def _local(text: str, field: str) -> datetime:
    moment = _moment(text, field)
    if moment.tzinfo is not None:
        raise RefusedTiming("INVALID_SPEC", field, "is a local time, without an offset")
    return moment

"""How tasks recur, as files write it: rules, cron expressions, intervals, and the English that Todoist understands.

What is not understood is None: better no rule than another one.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import time
from typing import TYPE_CHECKING, Any

from rota_tasks.series.recurrence import Anchor, Recurrence

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rota_tasks.imports.formats.values import Notes

_SHORTEST_MONTH, _LONGEST_MONTH, _NOON = 28, 31, 12
_MAX_LENGTH = 200
_MAX_EVERY = 9_999
_SECONDS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60}
_BY_MONTH, _AFTER_COMPLETION = 1, 2
_INTERVAL = re.compile(r"[1-9]\d{0,3}(?:m|h|d|w|mo|y)")
_CRON = re.compile(r"[\d*/,?A-Z#-]+(?:\s+[\d*/,?A-Z#-]+){4,5}")
_ALONE = {
    "everyday": "every day",
    "daily": "every day",
    "hourly": "every hour",
    "weekly": "every week",
    "monthly": "every month",
    "quarterly": "every quarter",
    "yearly": "every year",
    "annually": "every year",
}
_UNITS = {"min": "MINUTELY", "hou": "HOURLY", "day": "DAILY", "wee": "WEEKLY", "mon": "MONTHLY", "yea": "YEARLY"}
_SHORT = {"MINUTELY": "m", "HOURLY": "h", "DAILY": "d", "WEEKLY": "w", "MONTHLY": "mo", "YEARLY": "y"}
_DAYS = {"mon": "MO", "tue": "TU", "wed": "WE", "thu": "TH", "fri": "FR", "sat": "SA", "sun": "SU"}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_ORDINALS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "last": -1, "other": 2}
_TIMES = {"morning": time(9), "afternoon": time(12), "noon": time(12), "evening": time(19), "night": time(22)}
_WORKDAYS = "MO,TU,WE,TH,FR"

_DAY = r"(?:mon(?:day)?|tue(?:s|sday)?|wed(?:s|nesday)?|thu(?:r|rs|rsday)?|fri(?:day)?|sat(?:urday)?|sun(?:day)?)s?"
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)"
)
_NTH = r"(?:\d{1,2}(?:st|nd|rd|th)|first|second|third|fourth|last)"
_NUMBER = r"\d{1,2}(?:st|nd|rd|th)?"
_AND = r"(?:\s*(?:,|&|\band\b)\s*)"
_EVERY = re.compile(r"(?:(?:every|ev|each)\s*(!?)|(after)\b)\s*(.+)")
_CLOCKS = tuple(
    re.compile(each)
    for each in (
        r"(.*?)\s*(?:\bat\s+|@\s*)(\d{1,2})(?::(\d\d))?\s*(am|pm)?",
        r"(.*?)\s+(\d{1,2}):(\d\d)\s*(am|pm)?",
        r"(.*?)\s+(\d{1,2})()\s*(am|pm)",
    )
)
_PART_OF_DAY = re.compile(r"(.*?)\s*(?:\bat\s+|\bin the\s+)?\b(morning|afternoon|noon|evening|night)")


def written(text: str) -> Recurrence | None:
    """What a cell holds: a rule of RFC 5545, a cron expression, an interval such as `3d`, or English; None for none.

    With `!` before it, it counts from the completion.
    """
    text = text.strip()
    if text.startswith("!"):
        found = written(text[1:])
        return None if found is None else replace(found, anchor=Anchor.COMPLETION)
    rule = text.removeprefix("RRULE:")
    if rule.upper().startswith("FREQ=") or ";FREQ=" in rule.upper():
        return Recurrence(rrule=rule)
    if _INTERVAL.fullmatch(text):
        return Recurrence(every=text)
    if _CRON.fullmatch(text):
        return Recurrence(cron=text)
    return said(text)


def cell(recurrence: Recurrence) -> str:
    """The inverse of `written`; zone and start are the task's."""
    mark = "!" if recurrence.anchor is Anchor.COMPLETION else ""
    return f"{mark}{recurrence.rrule or recurrence.cron or recurrence.every}"


def taken(text: str, rule: Recurrence | None, notes: Notes) -> dict[str, Any]:
    """What the record of a task that recurs says of it: the rule and its text; a note where there is no rule."""
    if rule is None:
        notes.add("RECURRENCE_LEFT_OUT", f"The task recurs ({text[:100]}), which is left out: it is not understood.")
        return {}
    return {"recurrence": rule, "recurs": text}


def repeated(seconds: object, mode: object) -> Recurrence | None:
    """What Vikunja's `repeat_after` and `repeat_mode` say; None for what is no number of minutes."""
    if mode == _BY_MONTH:
        return Recurrence(every="1mo")
    if not isinstance(seconds, int) or seconds <= 0:
        return None
    anchor = Anchor.COMPLETION if mode == _AFTER_COMPLETION else Anchor.SCHEDULE
    for unit, length in _SECONDS.items():
        if seconds % length == 0 and seconds // length <= _MAX_EVERY:
            return Recurrence(every=f"{seconds // length}{unit}", anchor=anchor)
    return None


def said(text: str, *, timed: bool = False) -> Recurrence | None:
    """What English says, such as `every mon, wed`, `every 3rd friday at 9am` or `every! 3 days`; None for all else.

    Args:
        text: That.
        timed: Whether the time of day is known besides, so that the rule is not to say it.
    """
    text = " ".join(text.casefold().split())
    if len(text) > _MAX_LENGTH:
        return None
    first, _, rest = text.partition(" ")
    found = _EVERY.fullmatch(f"{_ALONE[first]} {rest}".strip() if first in _ALONE else text)
    if found is None:
        return None
    anchor = Anchor.COMPLETION if found[1] or found[2] else Anchor.SCHEDULE
    body, clock = _without_time(found[3])
    rule = _rule(body)
    if rule is None or (clock is not None and rule["FREQ"] in ("HOURLY", "MINUTELY")):
        return None
    if clock is not None and not timed:
        rule = {**rule, "BYHOUR": clock.hour, "BYMINUTE": clock.minute, "BYSECOND": 0}
    elif rule.keys() <= {"FREQ", "INTERVAL"}:
        # Unlike a rule, this has an answer to months that are too short.
        return Recurrence(every=f"{rule.get('INTERVAL', 1)}{_SHORT[str(rule['FREQ'])]}", anchor=anchor)
    return Recurrence(rrule=";".join(f"{name}={value}" for name, value in rule.items()), anchor=anchor)


def _without_time(text: str) -> tuple[str, time | None]:
    """A text without the time of day at its end, and that."""
    found = _PART_OF_DAY.fullmatch(text)
    if found is not None:
        return found[1] or "day", _TIMES[found[2]]
    found = next((match for each in _CLOCKS if (match := each.fullmatch(text))), None)
    if found is None:
        return text, None
    hour, minute, half = int(found[2]), int(found[3] or 0), found[4]
    if half is not None:
        hour = hour % _NOON + (_NOON if half == "pm" else 0)
    try:
        return found[1] or "day", time(hour, minute)
    except ValueError:
        return text, None


def _rule(text: str) -> Mapping[str, str | int] | None:
    for form, read in _FORMS:
        found = form.fullmatch(text)
        if found is not None:
            return read(found)
    return None


def _of_unit(found: re.Match[str]) -> Mapping[str, str | int] | None:
    number = _number(found[1]) if found[1] else 1
    if found[2].startswith("quarter"):
        return _with_interval({"FREQ": "MONTHLY"}, number * 3)
    return _with_interval({"FREQ": _UNITS[found[2].replace("hr", "hou")[:3]]}, number)


def _of_week(found: re.Match[str]) -> Mapping[str, str | int] | None:
    days = list(dict.fromkeys(_DAYS[each[:3]] for each in re.findall(_DAY, found[2])))
    rule = {"FREQ": "WEEKLY", "BYDAY": ",".join(days)}
    return _with_interval(rule, _number(found[1]) if found[1] else 1)


def _of_range(found: re.Match[str]) -> Mapping[str, str | int] | None:
    days = list(_DAYS.values())
    begin, end = (days.index(_DAYS[found[each][:3]]) for each in (1, 2))
    return {"FREQ": "WEEKLY", "BYDAY": ",".join(days[begin : end + 1])} if begin <= end else None


def _of_month(found: re.Match[str]) -> Mapping[str, str | int] | None:
    """Days of the month; one that some months do not have is their last day."""
    days = [_number(each) for each in re.findall(rf"{_NUMBER}|last", found[1])]
    if not all(day == -1 or 1 <= day <= _LONGEST_MONTH for day in days):
        return None
    if len(days) == 1 and days[0] > _SHORTEST_MONTH:
        those = ",".join(map(str, range(_SHORTEST_MONTH, days[0] + 1)))
        return {"FREQ": "MONTHLY", "BYMONTHDAY": those, "BYSETPOS": -1}
    return {"FREQ": "MONTHLY", "BYMONTHDAY": ",".join(map(str, days))}


def _nth_day(found: re.Match[str]) -> Mapping[str, str | int] | None:
    return {"FREQ": "MONTHLY", "BYDAY": f"{_number(found[1])}{_DAYS[found[2][:3]]}"}


def _nth_workday(found: re.Match[str]) -> Mapping[str, str | int] | None:
    return {"FREQ": "MONTHLY", "BYDAY": _WORKDAYS, "BYSETPOS": _number(found[1])}


def _of_year(found: re.Match[str]) -> Mapping[str, str | int] | None:
    month = found["month"] or found["other_month"]
    day = _number(found["day"] or found["other_day"])
    if not 1 <= day <= _LONGEST_MONTH:
        return None
    return {"FREQ": "YEARLY", "BYMONTH": _MONTHS.index(month[:3]) + 1, "BYMONTHDAY": day}


def _number(text: str) -> int:
    return _ORDINALS[text] if text in _ORDINALS else int(re.sub(r"\D", "", text))


def _with_interval(rule: Mapping[str, str | int], number: int) -> Mapping[str, str | int] | None:
    if not 1 <= number <= _MAX_EVERY:
        return None
    return dict(rule) if number == 1 else {"FREQ": rule["FREQ"], "INTERVAL": number, **rule}


_UNIT = r"(minutes?|mins?|hours?|hrs?|days?|weeks?|months?|quarters?|years?)"
_FORMS: Sequence[tuple[re.Pattern[str], Callable[[re.Match[str]], Mapping[str, str | int] | None]]] = [
    (re.compile(rf"(?:(\d{{1,4}}|other)\s*)?{_UNIT}"), _of_unit),
    (re.compile(r"(?:week|work|business )days?"), lambda _found: {"FREQ": "WEEKLY", "BYDAY": _WORKDAYS}),
    (re.compile(rf"({_DAY})\s*(?:-|to)\s*({_DAY})"), _of_range),
    (re.compile(rf"(?:(\d{{1,2}}|other)\s+)?({_DAY}(?:{_AND}{_DAY})*)"), _of_week),
    (re.compile(rf"({_NTH})\s+({_DAY})(?: of (?:the |each |every )?month)?"), _nth_day),
    (re.compile(rf"({_NTH})\s+(?:week|work|business )day(?: of (?:the |each |every )?month)?"), _nth_workday),
    (re.compile(r"(last) day(?: of (?:the |each |every )?month)?"), _of_month),
    (re.compile(rf"({_NUMBER}(?:{_AND}{_NUMBER})*)(?: (?:day )?of (?:the |each |every )?month)?"), _of_month),
    (
        re.compile(
            rf"(?P<month>{_MONTH})\s+(?P<day>{_NUMBER})|(?P<other_day>{_NUMBER})\s+(?:of\s+)?(?P<other_month>{_MONTH})"
        ),
        _of_year,
    ),
]

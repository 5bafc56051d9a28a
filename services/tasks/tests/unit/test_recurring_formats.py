"""How files say that tasks recur."""

from __future__ import annotations

import orjson
import pytest
from rota_tasks.imports.domain import Format, TaskRecord
from rota_tasks.imports.formats import READERS
from rota_tasks.imports.formats.recurring import cell, repeated, said, written
from rota_tasks.series.recurrence import Anchor, Recurrence


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("every day", "1d"),
        ("Everyday", "1d"),
        ("daily", "1d"),
        ("every 3 days", "3d"),
        ("every other week", "2w"),
        ("every 90 minutes", "90m"),
        ("every quarter", "3mo"),
        ("monthly", "1mo"),
        ("every monday", "FREQ=WEEKLY;BYDAY=MO"),
        ("every mon, wed", "FREQ=WEEKLY;BYDAY=MO,WE"),
        ("every Tuesday and Thursday", "FREQ=WEEKLY;BYDAY=TU,TH"),
        ("every other fri", "FREQ=WEEKLY;INTERVAL=2;BYDAY=FR"),
        ("every weekday", "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR"),
        ("every mon - fri", "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR"),
        ("every 3rd friday", "FREQ=MONTHLY;BYDAY=3FR"),
        ("every last monday of the month", "FREQ=MONTHLY;BYDAY=-1MO"),
        ("every 1st workday", "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=1"),
        ("every 15th", "FREQ=MONTHLY;BYMONTHDAY=15"),
        ("every 1st, 15th", "FREQ=MONTHLY;BYMONTHDAY=1,15"),
        ("every 30th", "FREQ=MONTHLY;BYMONTHDAY=28,29,30;BYSETPOS=-1"),
        ("every last day of the month", "FREQ=MONTHLY;BYMONTHDAY=-1"),
        ("every jan 14th", "FREQ=YEARLY;BYMONTH=1;BYMONTHDAY=14"),
        ("every 14 January", "FREQ=YEARLY;BYMONTH=1;BYMONTHDAY=14"),
        ("every day at 9am", "FREQ=DAILY;BYHOUR=9;BYMINUTE=0;BYSECOND=0"),
        ("every monday 20:30", "FREQ=WEEKLY;BYDAY=MO;BYHOUR=20;BYMINUTE=30;BYSECOND=0"),
        ("every morning", "FREQ=DAILY;BYHOUR=9;BYMINUTE=0;BYSECOND=0"),
    ],
)
def test_english_becomes_a_rule(text: str, rule: str) -> None:
    found = said(text)
    assert found is not None
    assert (found.rrule or found.every, found.anchor) == (rule, Anchor.SCHEDULE)


@pytest.mark.parametrize(("text", "every"), [("every! 3 days", "3d"), ("every!week", "1w"), ("after 10 days", "10d")])
def test_with_an_exclamation_mark_it_counts_from_the_completion(text: str, every: str) -> None:
    found = said(text)
    assert found is not None
    assert (found.every, found.anchor) == (every, Anchor.COMPLETION)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tomorrow",
        "every",
        "every blue moon",
        "every day starting aug 3",
        "every day at 25:00",
        "every 12 hours at 9am",
        "every 32",
        "every 0 days",
        "every fri-mon",
        "jeden Tag",
        "every " + "mon, " * 100,
    ],
)
def test_what_is_not_understood_is_no_rule(text: str) -> None:
    assert said(text) is None


def test_a_time_of_day_that_is_known_besides_is_no_part_of_the_rule() -> None:
    assert said("every day at 9am", timed=True) == Recurrence(every="1d")


@pytest.mark.parametrize(
    ("text", "recurrence"),
    [
        ("FREQ=WEEKLY;BYDAY=MO", Recurrence(rrule="FREQ=WEEKLY;BYDAY=MO")),
        ("RRULE:FREQ=DAILY", Recurrence(rrule="FREQ=DAILY")),
        ("3mo", Recurrence(every="3mo")),
        ("0 9 * * MON-FRI", Recurrence(cron="0 9 * * MON-FRI")),
        ("!2w", Recurrence(every="2w", anchor=Anchor.COMPLETION)),
        ("every 2 weeks", Recurrence(every="2w")),
    ],
)
def test_a_cell_holds_a_rule_in_any_form(text: str, recurrence: Recurrence) -> None:
    assert written(text) == recurrence
    assert written(cell(recurrence)) == recurrence


@pytest.mark.parametrize(
    ("seconds", "mode", "recurrence"),
    [
        (86_400, 0, Recurrence(every="1d")),
        (1_209_600, None, Recurrence(every="2w")),
        (5_400, 0, Recurrence(every="90m")),
        (259_200, 2, Recurrence(every="3d", anchor=Anchor.COMPLETION)),
        (0, 1, Recurrence(every="1mo")),
        (90, 0, None),
        (0, 0, None),
        ("many", 0, None),
        (-60, 0, None),
    ],
)
def test_what_vikunja_repeats_becomes_an_interval(seconds: object, mode: object, recurrence: Recurrence | None) -> None:
    assert repeated(seconds, mode) == recurrence


def test_of_each_series_in_an_export_the_newest_open_occurrence_goes_on() -> None:
    tasks = [
        ("1", "2026-01-01", "done"),
        ("2", "2026-01-03", "done"),
        ("3", "2026-01-02", "todo"),
        ("4", "2026-01-01", "todo"),
    ]
    lines = [
        {"kind": "rota", "data": {"version": 1}},
        *(
            {
                "kind": "task",
                "data": {
                    "id": identifier,
                    "title": "x",
                    "status": status,
                    "series_id": "s",
                    "occurrence": occurrence,
                    "recurrence": {"every": "1d", "starts_on": "2026-01-01", "time_zone": "UTC"},
                },
            }
            for identifier, occurrence, status in tasks
        ),
        {"kind": "end", "data": {}},
    ]
    parts = [b"\n".join(map(orjson.dumps, lines)).decode()]
    records = [each for each in READERS[Format.ROTA](parts, {}) if isinstance(each, TaskRecord)]
    assert [each.key for each in records if each.recurrence] == ["task:3"]
    assert records[2].occurrence == "2026-01-02"


def test_rows_without_a_rule_keep_the_keys_that_they_had_before_there_was_a_column_for_it() -> None:
    def keys(header: str, row: str) -> list[str]:
        return [each.key for each in READERS[Format.CSV]([f"{header}\n{row}\n"], {})]

    assert keys("title", "Water") == keys("title,recurrence", "Water,")
    assert keys("title", "Water") != keys("title,recurrence", "Water,1d")
    assert keys("title", "Water") == ["task:row-712962fa5a2736fbd6f89f22-1"]

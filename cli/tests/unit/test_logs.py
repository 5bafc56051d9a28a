from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rota_cli import logs

if TYPE_CHECKING:
    from pathlib import Path

WARNING = (
    b'{"time":"2026-01-02T03:04:05.678Z","level":"warning","service":"tasks",'
    b'"event":"relay.slow","lag":7,"why":"no answer"}'
)


def test_a_json_line_becomes_time_service_level_event_and_facts() -> None:
    assert logs.render(WARNING, "x") == '03:04:05 tasks         warning relay.slow lag=7 why="no answer"'
    assert "\x1b[33mwarning" in logs.render(WARNING, "x", colour=True)


@pytest.mark.parametrize("line", [b"Traceback (most recent call last):", b"[1, 2]", b'{"no": "event"}', b"\xff"])
def test_any_other_line_stays_as_it_is(line: bytes) -> None:
    assert logs.render(line, "auth").split(maxsplit=1) == ["auth", line.decode(errors="replace")]


def test_only_warnings_and_worse_are_loud() -> None:
    assert logs.is_quiet(b'{"level":"info","event":"x"}')
    assert not logs.is_quiet(WARNING)
    assert not logs.is_quiet(b"Traceback (most recent call last):")


def test_a_growing_log_gives_whole_lines_and_starts_anew_when_it_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "tasks.log"
    path.write_bytes(b"old\n")
    log = logs.LogFile(path)
    assert log.new_lines() == []
    path.write_bytes(b"old\nfirst\nsec")
    assert log.new_lines() == [b"first"]
    path.write_bytes(b"old\nfirst\nsecond\n")
    assert log.new_lines() == [b"second"]
    path.write_bytes(b"new\n")
    assert log.new_lines() == [b"new"]


def test_a_large_log_is_kept_once_and_cut(tmp_path: Path) -> None:
    path = tmp_path / "tasks.log"
    path.write_bytes(b"line\n")
    logs.LogFile(path, largest_bytes=4).rotate()
    assert path.read_bytes() == b""
    assert (tmp_path / "tasks.log.1").read_bytes() == b"line\n"


def test_the_last_lines_of_several_logs_come_in_the_order_of_their_times(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b'{"time":"1","event":"a"}\n{"time":"3","event":"c"}\n')
    (tmp_path / "b.log").write_bytes(b'{"time":"2","event":"b"}\nTraceback\n')
    lines = list(logs.last_lines([tmp_path / "a.log", tmp_path / "b.log"], 3))
    assert [name for name, _ in lines] == ["b", "b", "a"]
    assert lines[1] == ("b", b"Traceback")

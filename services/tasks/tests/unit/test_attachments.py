"""Names that file systems take, and ranges of a content."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from rota_tasks.attachments.domain import MAX_NAME_BYTES, file_name
from rota_tasks.attachments.ranges import Part, asked_part
from rota_tasks.settings import TasksSettings

ETAG = '"digest"'


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ada\\plan.txt", "plan.txt"),
        ("a\x00b\r\nc\u202e.txt", "abc.txt"),
        ("e\u0301.txt", "\u00e9.txt"),
        ("  spaced .txt ", "spaced .txt"),
        (".hidden", ".hidden"),
        ("x" * 300 + ".pdf", "x" * 251 + ".pdf"),
        ("\u20ac" * 100 + ".txt", "\u20ac" * 83 + ".txt"),
        ("x" * 300, "x" * 255),
        ("..", ""),
        ("a/", ""),
        ("\ud800", ""),
    ],
    ids=ascii,
)
def test_a_name_is_what_a_file_system_takes(given: str, name: str) -> None:
    assert file_name(given) == name


@given(st.text())
def test_every_name_is_short_normal_and_without_a_folder_and_stays_as_it_is(given: str) -> None:
    name = file_name(given)
    assert len(name.encode()) <= MAX_NAME_BYTES
    assert not {"/", "\\", "\0", "\n"} & set(name)
    assert unicodedata.is_normalized("NFC", name)
    assert name not in {".", ".."}
    assert file_name(name) == name


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ("bytes=0-0", Part(0, 1)),
        ("bytes=2-4", Part(2, 3)),
        ("bytes=8-", Part(8, 2)),
        ("bytes=8-100", Part(8, 2)),
        ("bytes=-3", Part(7, 3)),
        ("bytes=-30", Part(0, 10)),
        ("Bytes = 2-4 ", Part(2, 3)),
        ("bytes=,2-4,", Part(2, 3)),
        ("bytes=10-", Part(10, 0)),
        ("bytes=-0", Part(10, 0)),
        ("", None),
        ("bytes=-", None),
        ("bytes=4-2", None),
        ("bytes=1-2,4-5", None),
        ("lines=1-2", None),
        ("bytes=a-b", None),
        ("bytes=\u0661-\u0662", None),
        ("bytes=" + "9" * 1000 + "-", None),
        ("bytes=--1", None),
    ],
    ids=ascii,
)
def test_one_range_is_found_and_anything_else_is_ignored(header: str, part: Part | None) -> None:
    assert asked_part(header, size=10, if_range="", etag=ETAG) == part


@pytest.mark.parametrize(
    ("if_range", "counts"),
    [("", True), (ETAG, True), ('"other"', False), (f"W/{ETAG}", False), ("Thu, 01 Jan 2026 12:00:00 GMT", False)],
)
def test_a_range_counts_for_the_content_it_is_meant_for(if_range: str, *, counts: bool) -> None:
    assert (asked_part("bytes=0-1", size=10, if_range=if_range, etag=ETAG) is not None) is counts


def test_an_empty_content_has_no_ranges() -> None:
    assert asked_part("bytes=0-", size=0, if_range="", etag=ETAG) == Part(0, 0)


def test_half_a_key_to_a_bucket_is_refused() -> None:
    with pytest.raises(ValidationError, match="ROTA_S3_SECRET_ACCESS_KEY"):
        TasksSettings(s3_access_key_id="key")

"""Old events, read by the code of today."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from rota_chassis.events.log import data_of, json_of
from rota_chassis.events.types import NewerEvent, event_types
from rota_chassis.events.upcasters import UPCASTERS

if TYPE_CHECKING:
    from rota_chassis.events.upcasters import Data

PAYLOADS = Path(__file__).parent / "payloads"
FROZEN = sorted(PAYLOADS.glob("*.json"))


def test_each_step_to_the_version_of_a_type_is_there() -> None:
    for name, kind in event_types().items():
        assert len(kind.upcasters) == kind.version - 1, name
    assert not UPCASTERS.keys() - event_types().keys()


def test_every_earlier_version_has_a_payload() -> None:
    frozen = {path.stem for path in FROZEN}
    for name, kind in event_types().items():
        assert frozen >= {f"{name}.v{version}" for version in range(1, kind.version)}


@pytest.mark.parametrize("path", FROZEN, ids=lambda path: path.stem)
def test_what_was_written_once_is_read_for_ever(path: Path) -> None:
    name, _, version = path.stem.rpartition(".v")
    kind, data = event_types()[name], orjson.loads(path.read_bytes())
    row = {"type": name, "schema_version": int(version), "data": data}
    read = kind.encode(data_of(row))
    assert_holds(read, json_of(row), at=name)


def assert_holds(read: Any, written: Any, *, at: str) -> None:
    """What was written is read, and whatever has come since is empty."""
    if isinstance(written, dict):
        for name, value in written.items():
            assert name in read, f"{at}.{name} is lost"
            assert_holds(read[name], value, at=f"{at}.{name}")
    elif isinstance(written, list):
        assert len(read) == len(written), at
        for index, (one, other) in enumerate(zip(read, written, strict=True)):
            assert_holds(one, other, at=f"{at}[{index}]")
    else:
        assert read == written, at


def rename_title(data: Data) -> Data:
    """Version 2: `headline` became `title`."""
    data["task"]["title"] = data["task"].pop("headline")
    return data


def split_effort(data: Data) -> Data:
    """Version 3: hours became seconds."""
    data["task"]["estimate_s"] = data["task"].pop("effort_h") * 3600
    return data


def test_data_goes_through_each_version_after_its_own_and_stays_what_it_was() -> None:
    kind = replace(event_types()["task.created"], version=3, upcasters=(rename_title, split_effort))
    oldest = {"task": {"headline": "Water", "effort_h": 2}}
    assert (kind.read(oldest, 1).task.title, kind.read(oldest, 1).task.estimate_s) == ("Water", 7200)
    assert kind.read({"task": {"title": "Water", "effort_h": 1}}, 2).task.estimate_s == 3600
    assert kind.upcast(kind.encode(kind.read(oldest, 1)), 3)["task"]["title"] == "Water"
    assert oldest == {"task": {"headline": "Water", "effort_h": 2}}


def test_what_only_newer_code_knows_is_refused() -> None:
    with pytest.raises(NewerEvent, match=r"task\.created is of version 2"):
        event_types()["task.created"].read({}, 2)


def test_new_members_are_passed_over_at_every_level() -> None:
    data = {"task": {"title": "Water", "colour": "green", "checklist": {"open": 1, "dim": True}}, "mood": "good"}
    task = event_types()["task.created"].read(data, 1).task
    assert (task.title, task.checklist.open) == ("Water", 1)

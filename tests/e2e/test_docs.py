"""What the documentation names exists, and what it shows runs."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rota_chassis.testing.waiting import eventually
from rota_cli.demo.people import Api

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from whole import System

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")))
# Made by running or installing; or no paths at all.
NOT_HERE = (".rota/", ".venv/", "protos/gen/", "application/")
PATH_IN_CODE = re.compile(r"`([\w.<>*{},-]+(?:/[\w.<>*{},-]+)+/?)`")
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)[^)]*\)")


def named_paths(page: Path) -> Iterator[str]:
    """Each path that a page names in code or links to, as a glob relative to the repository; `<name>` is any name."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for found in PATH_IN_CODE.findall(text):
        if not found.startswith(NOT_HERE):
            yield re.sub(r"<\w+>", "*", found)
    for found in LINK.findall(text):
        yield str((page.parent / found).resolve().relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    assert [path for path in named_paths(page) if not any(ROOT.glob(path))] == []


def test_every_test_that_a_page_names_exists() -> None:
    named = {name for page in PAGES for name in re.findall(r"\btest_\w+\b(?!\.py)", page.read_text(encoding="utf-8"))}
    tests = [
        path
        for folder in ("chassis", "gateway", "services", "cli", "tests")
        for path in (ROOT / folder).rglob("test_*.py")
    ]
    defined = {name for path in tests for name in re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8"))}
    assert named <= defined


@asynccontextmanager
async def subscriber(folder: Path, *arguments: str) -> AsyncIterator[None]:
    """The subscriber that docs/events.md shows; killed at the end."""
    page = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, *arguments, cwd=folder)
    try:
        yield
        assert process.returncode is None
    finally:
        process.kill()
        await process.wait()


@pytest.mark.e2e
async def test_the_subscriber_of_the_docs_notes_each_event_once_though_it_is_killed(
    system: System, tmp_path: Path
) -> None:
    api = Api(system.base_url)
    ada = await api.register("Ada")

    async def complete(title: str) -> None:
        task = await api.call(ada, "POST", "/api/v1/tasks", {"title": title})
        await api.call(ada, "POST", f"/api/v1/tasks/{task['id']}/complete")

    def noted() -> list[str]:
        notes = sqlite3.connect(tmp_path / "notes.db", timeout=10)
        try:
            return [title for (title,) in notes.execute("SELECT title FROM completed ORDER BY rowid")]
        except sqlite3.OperationalError:
            return []  # the table is not there yet
        finally:
            notes.close()

    await complete("Water the plants")
    async with subscriber(tmp_path, system.nats_url, ada.workspace_id):
        await eventually(lambda: noted() == ["Water the plants"], timeout_s=20)
    await complete("Feed the cat")
    async with subscriber(tmp_path, system.nats_url, ada.workspace_id):
        await eventually(lambda: noted() == ["Water the plants", "Feed the cat"], timeout_s=20)
    await api.close()

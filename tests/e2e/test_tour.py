"""The README's five minutes, as they are written, against a running Rota."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from whole import System

pytestmark = pytest.mark.e2e

README = Path(__file__).parents[2] / "README.md"
WITHIN_S = 90

# In place of curl, which a machine that runs the tests need not have: the options of the tour, and a note of each call.
CURL = """\
#!{python}
import argparse, json, sys, urllib.error, urllib.request
parser = argparse.ArgumentParser(allow_abbrev=False)
parser.add_argument("-s", action="store_true")
parser.add_argument("-X")
parser.add_argument("-H", action="append", default=[])
parser.add_argument("-d")
parser.add_argument("url")
given = parser.parse_args()
data = None if given.d is None else given.d.encode()
request = urllib.request.Request(given.url, data, dict(each.split(": ", 1) for each in given.H), method=given.X)
try:
    answer = urllib.request.urlopen(request)
except urllib.error.HTTPError as error:
    answer = error
text = answer.read().decode()
with open({notes!r}, "a") as notes:
    notes.write(json.dumps([request.get_method(), answer.status, json.loads(text)]) + "\\n")
sys.stdout.write(text)
"""

# What the reader waits eleven seconds for.
UNTIL_TOLD = """\
until [ "$(curl -s $API/notifications -H "Authorization: Bearer $GRACE_TOKEN" | field '["unread_count"]')" = 2 ] &&
  [ "$(ls .rota/mail | grep -c "$GRACE_EMAIL")" = 2 ]; do :; done
"""


def tour() -> str:
    section = README.read_text(encoding="utf-8").partition("\n## Five minutes\n")[2].partition("\n## ")[0]
    return "".join(re.findall(r"^```sh\n(.*?)^```$", section, re.DOTALL | re.MULTILINE))


def test_the_five_minutes_of_the_readme_go_as_it_says(system: System, tmp_path: Path) -> None:
    run = secrets.token_hex(4)
    notes = tmp_path / "notes"
    curl = tmp_path / "bin" / "curl"
    curl.parent.mkdir()
    curl.write_text(CURL.format(python=sys.executable, notes=str(notes)))
    curl.chmod(0o755)
    (tmp_path / ".rota").symlink_to(system.folder)
    script = tour()
    for old, new in {
        "http://127.0.0.1:8080": system.base_url,
        "ada@example.com": f"ada-{run}@example.com",
        "grace@example.com": f"grace-{run}@example.com",
        "seconds=10": "seconds=1",
        "sleep 11\n": UNTIL_TOLD,
    }.items():
        assert old in script
        script = script.replace(old, new)
    done = subprocess.run(  # noqa: S603 (the README of this repository)
        ["bash", "-eu", "-o", "pipefail", "-c", script],  # noqa: S607 (wherever the machine has it)
        cwd=tmp_path,
        env={
            "PATH": f"{curl.parent}:{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "GRACE_EMAIL": f"grace-{run}@",
        },
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    calls: list[tuple[str, int, dict[str, Any]]] = [json.loads(line) for line in notes.read_text().splitlines()]
    steps = [call for call in calls if "unread_count" not in call[2]]
    assert [status for _, status, _ in steps] == [201, 201, 201, 201, 200, 412, 201, 400]
    told = [answer for _, _, answer in calls if "unread_count" in answer][-1]
    assert {each["kind"] for each in told["notifications"]} == {"task.assigned", "task.reminder"}
    assert done.stdout.count(f"-grace-{run}@example.com.eml") == 2
    completed, stale, schedule, mistake = (answer for _, _, answer in steps[4:])
    assert completed["status"] == "done"
    assert stale["code"] == "ETAG_MISMATCH"
    assert (schedule["cron"], schedule["timezone"]) == ("30 8 * * 1-5", "Europe/Warsaw")
    assert {error["pointer"] for error in mistake["errors"]} == {"/titel", "/priority", "/due_at"}

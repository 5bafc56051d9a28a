from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from rota_cli import summary

if TYPE_CHECKING:
    from pathlib import Path

STATE = {"ready_after_s": 4.2, "urls": {"API": "http://127.0.0.1:8080/api/v1"}}
ADMIN = {"email": "admin@rota.localhost", "password": 'it\'s "quoted"'}


def test_the_request_to_try_is_correct_shell_whatever_the_password(tmp_path: Path) -> None:
    text = summary.ready(STATE, ADMIN)
    script = "\n".join(line for line in text.splitlines() if line.startswith("  ") and not line.startswith("  A"))
    curl = tmp_path / "curl"
    curl.write_text(
        '#!/bin/sh\nfor word; do echo "$word" >> "$0.log"; done\necho \'{"user":{},"access_token":"abc.def","n":1}\'\n',
        encoding="utf-8",
    )
    curl.chmod(0o755)
    subprocess.run(["/bin/sh", "-ec", script], check=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, timeout=10)  # noqa: S603 (what is printed)
    words = (tmp_path / "curl.log").read_text(encoding="utf-8").splitlines()
    assert '{"email": "admin@rota.localhost", "password": "it\'s \\"quoted\\""}' in words
    assert "Authorization: Bearer abc.def" in words


def test_ready_says_where_everything_is() -> None:
    text = summary.ready(STATE, ADMIN)
    assert "Rota is ready after 4.2 s." in text
    assert "http://127.0.0.1:8080/api/v1" in text
    assert "admin@rota.localhost" in text

"""What is printed: how to reach a Rota that is ready, and what runs."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rota_cli.processes import Report


def ready(state: Mapping[str, Any], admin: Mapping[str, Any]) -> str:
    """URLs, the admin's credentials, and a request to try.

    Args:
        state: Content of the state file.
        admin: Content of the file with the admin's credentials.
    """
    urls: Mapping[str, str] = state["urls"]
    body = json.dumps({"email": admin.get("email"), "password": admin.get("password")})
    lines = [
        "",
        f"Rota is ready after {state['ready_after_s']} s.",
        "",
        *(f"  {name:8} {url}" for name, url in urls.items()),
        f"  {'Admin':8} {admin.get('email')}  password: {admin.get('password')}",
        "",
        "Try it: log in, then create a task.",
        "",
        f"  TOKEN=$(curl -s {urls['API']}/auth/login -H 'Content-Type: application/json' \\",
        f'    -d {shlex.quote(body)} | sed -E \'s/.*"access_token":"([^"]+)".*/\\1/\')',
        f'  curl -s {urls["API"]}/tasks -H "Authorization: Bearer $TOKEN" \\',
        "    -H 'Content-Type: application/json' -d '{\"title\": \"Say hello\"}'",
        "",
        "`rota status` shows what runs, `rota logs -f` what it does, Ctrl-C or `rota down` stops it.",
        "",
    ]
    return "\n".join(lines)


def status(state: Mapping[str, Any], reports: Iterable[Report]) -> str:
    """A table of processes, the memory of all, and the time it took to be ready."""
    reports = list(reports)
    lines = [f"{'NAME':15} {'STATE':9} {'PID':>8} {'RESTARTS':>9} {'MEMORY':>10}"]
    lines += [
        f"{each.name:15} {each.state:9} {each.pid or '-':>8} {each.restarts:>9} {_megabytes(each.memory_bytes):>10}"
        for each in reports
    ]
    total = sum(each.memory_bytes for each in reports)
    ready_after = state.get("ready_after_s")
    lines += [
        "",
        f"memory of everything  {_megabytes(total)}",
        f"ready after           {'not ready yet' if ready_after is None else f'{ready_after} s'}",
        f"running since         {state.get('started_at')}",
        *(f"{name:21} {url}" for name, url in state.get("urls", {}).items()),
    ]
    return "\n".join(lines)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"

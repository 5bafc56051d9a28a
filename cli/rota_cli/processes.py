"""The processes of a running Rota, as the system sees them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class Report:
    """One process with its children.

    Attributes:
        state: "running", "starting", "backoff", "stopped" or "gone".
        memory_bytes: Proportional set size (proc(5), "Pss"): shared pages are divided among those who share them.
            Resident set size where the system does not say.
    """

    name: str
    pid: int | None
    state: str
    restarts: int
    memory_bytes: int

    @property
    def is_up(self) -> bool:
        """Whether it runs."""
        return self.state == "running"


def reports(state: Mapping[str, Any]) -> list[Report]:
    """The supervisor, and what its state file names."""
    supervisor = Report(name="rota", pid=state.get("pid"), state="running", restarts=0, memory_bytes=0)
    listed = [Report(memory_bytes=0, **entry) for entry in state.get("processes", [])]
    return [_measured(supervisor, with_children=False), *(_measured(each, with_children=True) for each in listed)]


def _measured(report: Report, *, with_children: bool) -> Report:
    if report.pid is None:
        return report
    try:
        process = psutil.Process(report.pid)
        memory = _memory(process)
    except psutil.Error:
        return replace(report, state="gone")
    for child in process.children(recursive=True) if with_children else []:
        with suppress(psutil.Error):
            memory += _memory(child)
    return replace(report, memory_bytes=memory)


def _memory(process: psutil.Process) -> int:
    try:
        full = process.memory_full_info()
    except psutil.AccessDenied:
        return int(process.memory_info().rss)
    return int(getattr(full, "pss", 0) or full.rss)

"""What processes cost."""

from __future__ import annotations

import psutil


class Cpu:
    """CPU time of a process and what it started, from now on; of a PostgreSQL server with its ended backends too."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._before = self._total()

    def used_s(self) -> float:
        """So many seconds."""
        return self._total() - self._before

    def _total(self) -> float:
        own = self._process.cpu_times()
        total = own.user + own.system + own.children_user + own.children_system
        for child in self._process.children(recursive=True):
            try:
                times = child.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system
        return total

"""Reading and creating a task through Rota's gateway, beside a plain monolith, in one run on one machine.

Both serve the same rows from the same PostgreSQL server to `wrk`, which reads random ids; they take turns, so that a
change in the machine's speed meets both. Each may use every core: Rota is a gateway and a tasks process, the monolith
has a worker for each core. Prints requests a second, latency, and CPU time a request (the service's processes, without
PostgreSQL and wrk); quote the ratios. What Rota does for a created task counts: its event, which is published, received
by the gateway for live clients, and its search document. At last, what all processes of Rota use for a created task,
those included that are told of it, until they have handled it.

Needs `wrk` (Debian: `apt install wrk`).
Usage: python benchmarks/beside_monolith.py [--rounds 3] [--seconds 8] [--only read|create|everywhere]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import secrets
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import httpx
import jwt
import psutil
from rota_chassis.embedded.sockets import socket_folder
from rota_chassis.settings import database_url

if TYPE_CHECKING:
    from collections.abc import Iterator

TASKS = 500
CONNECTIONS = 32
SCRIPTS = {
    "read": """
local ids = {}
for line in io.lines("%(ids)s") do ids[#ids + 1] = line end
math.randomseed(42)
request = function()
  return wrk.format("GET", "/api/v1/tasks/" .. ids[math.random(#ids)], {["Authorization"] = "Bearer %(token)s"})
end
""",
    "create": """
wrk.method, wrk.path = "POST", "/api/v1/tasks"
wrk.headers = {["Authorization"] = "Bearer %(token)s", ["Content-Type"] = "application/json"}
wrk.body = '{"title": "Water the plants", "description": "The basil too, please.", "priority": "high"}'
""",
}
FIGURES = re.compile(r"Requests/sec:\s+([\d.]+)")
P99 = re.compile(r"99%\s+([\d.]+)(us|ms|s)")
ERRORS = re.compile(r"Non-2xx or 3xx responses: (\d+)")
TO_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass
class Peer:
    """One of the two: where it listens, the processes that serve, and the token to send."""

    name: str
    url: str
    pids: list[int]
    token: str
    run: Path | None = None
    """The folder with the names and numbers of all processes, of Rota."""

    def cpu_s(self) -> float:
        """CPU time that its processes have used so far."""
        found = [psutil.Process(pid) for pid in self.pids]
        times = [each.cpu_times() for process in found for each in (process, *process.children(recursive=True))]
        return sum(each.user + each.system for each in times)


def main() -> None:
    """Run the rounds and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--only", choices=[*SCRIPTS, "everywhere"])
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("This benchmark needs wrk; on Debian `apt install wrk`.")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rota-bench-")))
        rota, ids = stack.enter_context(running_rota(folder))
        (folder / "ids").write_text("\n".join(ids))
        for what in SCRIPTS:
            if options.only in (None, what):
                with running_monolith(folder) as monolith:
                    compare(what, (rota, monolith), folder, options.rounds, options.seconds)
        if options.only in (None, "everywhere"):
            everywhere(rota, folder, options.rounds, options.seconds)


def everywhere(rota: Peer, folder: Path, rounds: int, seconds: int) -> None:
    """Print what each process uses for a created task."""
    load("create", rota, folder, 2)
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        time.sleep(2)
        before = cpu_by_process(rota)
        requests_per_s, *_ = load("create", rota, folder, seconds)
        # What those do who are told of it belongs to it.
        time.sleep(2)
        for name, used_s in cpu_by_process(rota).items():
            used_us = (used_s - before.get(name, 0)) * 1e6 / (requests_per_s * seconds)
            found.setdefault(name, []).append(used_us)
    medians = {name: statistics.median(each) for name, each in found.items()}
    print("CPU us of all processes for a created task")
    for name, used_us in sorted(medians.items(), key=lambda each: -each[1]):
        if used_us >= 1:
            print(f"{name:32} {used_us:7.0f}")
    print(f"{'together':32} {sum(medians.values()):7.0f}\n", flush=True)


def cpu_by_process(rota: Peer) -> dict[str, float]:
    """CPU time that each process of Rota has used so far; of PostgreSQL's by their databases, or what they do."""
    found: dict[str, float] = {}
    assert rota.run is not None
    for file in rota.run.glob("*.pid"):
        process = psutil.Process(int(file.read_text().split()[0]))
        for each in (process, *process.children(recursive=True)):
            try:
                title = each.cmdline()[0] if file.stem == "postgres" and each is not process else ""
                times = each.cpu_times()
            except psutil.NoSuchProcess:
                continue
            database = re.search(r"rota_\w+", title)
            name = f"postgres {database[0] if database else title.removeprefix('postgres: ')}" if title else file.stem
            found[name] = found.get(name, 0) + times.user + times.system
    return found


def compare(what: str, peers: tuple[Peer, Peer], folder: Path, rounds: int, seconds: int) -> None:
    """Print what one of the loads costs both, and the ratio."""
    results: dict[str, list[tuple[float, float, float]]] = {peer.name: [] for peer in peers}
    for peer in peers:
        load(what, peer, folder, 2)
    for _ in range(rounds):
        for peer in peers:
            results[peer.name].append(load(what, peer, folder, seconds))
    print(f"{what:10} {'requests/s':>11} {'p99 ms':>8} {'CPU us/request':>15}")
    medians = []
    for name, each in results.items():
        medians.append([statistics.median(column) for column in zip(*each, strict=True)])
        print(f"{name:10} {medians[-1][0]:11.0f} {medians[-1][1]:8.1f} {medians[-1][2]:15.0f}")
    ratio = [ours / theirs for ours, theirs in zip(*medians, strict=True)]
    print(f"{'ratio':10} {ratio[0]:11.2f} {ratio[1]:8.2f} {ratio[2]:15.2f}\n", flush=True)


def load(what: str, peer: Peer, folder: Path, seconds: int) -> tuple[float, float, float]:
    """One load: requests a second, p99 in milliseconds, CPU microseconds a request."""
    script = folder / f"{what}.lua"
    script.write_text(SCRIPTS[what] % {"ids": folder / "ids", "token": peer.token})
    before = peer.cpu_s()
    output = subprocess.run(
        ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-s", script, peer.url],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    failed = ERRORS.search(output)
    assert failed is None, output
    rate, p99 = FIGURES.search(output), P99.search(output)
    assert rate, output
    assert p99, output
    requests_per_s = float(rate[1])
    # What follows a create, such as publishing its event, belongs to it.
    time.sleep(1)
    cpu_us = (peer.cpu_s() - before) * 1e6 / (requests_per_s * seconds)
    return requests_per_s, float(p99[1]) * TO_MS[p99[2]], cpu_us


@contextmanager
def running_rota(folder: Path) -> Iterator[tuple[Peer, list[str]]]:
    """`rota up`, without rate limits, with tasks to read."""
    port = free_port()
    data = folder / "rota"
    environment = {
        **os.environ,
        "ROTA_DATA_DIR": str(data),
        "ROTA_HTTP_PORT": str(port),
        "ROTA_RATE_READ": "1000000/1s",
        "ROTA_RATE_WRITE": "1000000/1s",
    }
    process = subprocess.Popen([sys.executable, "-m", "rota_cli", "up"], env=environment, stdout=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/readyz")
        with httpx.Client(base_url=f"{url}/api/v1", timeout=10) as http:
            body = {"email": "bench@example.com", "password": secrets.token_urlsafe(), "name": "Bench"}
            token = http.post("/auth/register", json=body).raise_for_status().json()["access_token"]
            http.headers["Authorization"] = f"Bearer {token}"
            ids = [
                http.post("/tasks", json={"title": f"Task {number}"}).raise_for_status().json()["id"]
                for number in range(TASKS)
            ]
        pids = [int((data / "run" / f"{name}.pid").read_text().split()[0]) for name in ("gateway", "tasks")]
        yield Peer("rota", url, pids, token, data / "run"), ids
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


@contextmanager
def running_monolith(folder: Path) -> Iterator[Peer]:
    """The monolith, on the very rows of Rota's tasks database."""
    port = free_port()
    sockets = socket_folder(folder / "rota" / "run") / "postgres"
    url = database_url(f"postgresql://postgres@/postgres?host={sockets}", "rota_tasks")
    user_id = asyncio.run(_owner(url))
    secret = secrets.token_urlsafe(32)
    environment = {
        **os.environ,
        "MONOLITH_POSTGRES_URL": url.replace("postgresql://", "postgresql+asyncpg://", 1),
        "MONOLITH_SECRET": secret,
    }
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(Path(__file__).parent / "monolith"), "app:app"]
    workers = str(os.cpu_count())
    process = subprocess.Popen(
        [*command, "--port", str(port), "--workers", workers, "--no-access-log", "--log-level", "warning"],
        env=environment,
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/docs")
        token = jwt.encode({"sub": user_id, "exp": time.time() + 3600}, secret, algorithm="HS256")
        yield Peer("monolith", f"http://127.0.0.1:{port}", [process.pid], token)
    finally:
        process.terminate()
        process.wait(timeout=30)


async def _owner(url: str) -> str:
    connection = await asyncpg.connect(url)
    try:
        return str(await connection.fetchval("SELECT created_by FROM tasks LIMIT 1"))
    finally:
        await connection.close()


def wait_for(url: str) -> None:
    """Wait until the address answers 200."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if httpx.get(url, timeout=2).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    sys.exit(f"{url} does not answer")


def free_port() -> int:
    """A port that nothing listens on now."""
    import socket  # noqa: PLC0415 (only here)

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()

"""Three replicas of the scheduler, and everything that can happen to them: `make chaos-scheduler`.

Real processes on real servers of their own, on loopback only. While schedules call a witness, give workers jobs and
publish events, replicas are killed at named points and frozen beyond their leases, clocks step, connections are ended,
PostgreSQL and NATS go down at once and come back, and a forgotten transaction holds locks. At the end the checker holds
the ledger against what the witness, the workers and the log have seen. What happens, when and to whom follows from the
seed. Usage: python tests/chaos/scheduler.py [--schedules 2000] [--seed N] [--faults N]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import sys
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
from checker import Recovery, Report, Row, check, recoveries
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from faults import LENGTH_S, QUIET_S, Chaos, Replicas, plan
from rota.scheduler.v1 import schedules_pb2
from rota_chassis import codec
from rota_chassis.cancellation import cancel_and_wait
from rota_chassis.embedded.nats import Nats
from rota_chassis.embedded.postgres import Postgres
from rota_chassis.embedded.redis import Redis
from rota_chassis.ids import uuid7
from rota_chassis.postgres.database import Database
from rota_chassis.postgres.migrations import migrate
from rota_chassis.settings import database_url
from rota_chassis.testing.servers import running, server_folder
from rota_chassis.testing.services import User
from rota_chassis.testing.tokens import KID, TokenIssuer
from rota_chassis.testing.waiting import eventually
from rota_scheduler.schedules import store
from rota_scheduler.schedules.domain import Schedule, cursor_of
from rota_scheduler.schedules.policies import Misfire, Overlap, Policies
from rota_scheduler.schedules.timing import Timing
from witness import QUEUE, SLOW, Witness

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EVERY_S = 10
WORKERS = 3
START_S = 60
SETTLE_AT_MOST_S = 120
OVERLAPS = [Overlap.ALLOW_ALL, Overlap.ALLOW_ALL, Overlap.SKIP, Overlap.BUFFER_ALL, Overlap.CANCEL_OTHER]
TOKEN_S = 3600
_ENCODE = codec.encoder(schedules_pb2.ScheduleSpec)
# Without the schedules of the system itself.
_LEDGER = """
    SELECT schedule_id::text, nominal_time, NULL AS through, NULL AS reason, id::text AS run_id, status, attempts,
        started_at, CASE WHEN action ? 'event' THEN 'event' WHEN action ? 'job' THEN 'job' ELSE 'http' END AS kind
    FROM (
        SELECT workspace_id, schedule_id, nominal_time, id, status, attempts, started_at, action FROM runs
        UNION ALL
        SELECT workspace_id, schedule_id, nominal_time, id, status, attempts, started_at, action FROM run_history
    ) AS either
    WHERE workspace_id <> '00000000-0000-0000-0000-000000000000'
    UNION ALL
    SELECT schedule_id::text, nominal_time, through, reason, NULL, NULL, 0, NULL, NULL FROM skips
    WHERE workspace_id <> '00000000-0000-0000-0000-000000000000'
"""
_PUBLISHED = "SELECT data ->> 'run_id' AS run_id FROM events WHERE type = 'custom.published'"
_OPEN = """
    SELECT (SELECT count(*) FROM runs WHERE finished_at IS NULL)
        + (SELECT count(*) FROM events WHERE published_at IS NULL)
        + (
            SELECT count(*) FROM schedules
            WHERE next_fire_at IS NOT NULL AND workspace_id <> '00000000-0000-0000-0000-000000000000'
        )
"""


async def main(schedules: int, seed: int, most: int | None) -> tuple[Report, Sequence[Recovery]]:
    """Run it with `most` faults at most; what the checker finds, and how soon all was well again each time."""
    witness, issuer, faults = Witness(), TokenIssuer(), plan(seed, most)
    user = User(issuer)
    user.token = issuer.access_token(user.id, user.workspace_id, lifetime_s=TOKEN_S)
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(server_folder())
        await stack.enter_async_context(witness.listening())
        postgres = await stack.enter_async_context(running(Postgres(folder / "pg", folder, folder / "pg.log")))
        redis = await stack.enter_async_context(running(Redis(folder, folder / "redis.log")))
        nats = await stack.enter_async_context(
            running(Nats(folder / "nats", folder, folder / "nats.log", password="chaos", port=_free_port()))
        )
        await migrate("scheduler", postgres.url)
        key = await issuer.get(KID)
        assert key is not None
        (folder / "key.pem").write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        replicas = Replicas(
            folder,
            {
                **{name: value for name, value in os.environ.items() if not name.startswith("ROTA_")},
                "ROTA_POSTGRES_URL": postgres.url,
                "ROTA_REDIS_URL": redis.url,
                "ROTA_NATS_URL": nats.url,
                "ROTA_LOG_LEVEL": "warning",
                **{f"ROTA_{name.upper()}_ADDRESS": f"unix:{folder}/{name}.sock" for name in ("auth", "tasks")},
            },
        )
        stack.callback(replicas.end)
        lasts_s = faults[-1].at_s + LENGTH_S[faults[-1].kind] + QUIET_S
        sys.stdout.write(f"seed {seed}: {len(faults)} faults within {lasts_s:.0f} s\n")
        keeping = asyncio.create_task(replicas.keep())
        stack.push_async_callback(cancel_and_wait, [keeping])
        await eventually(replicas.listen, timeout_s=START_S)
        begun = datetime.now(UTC)
        expected = await _add_schedules(postgres.url, witness.port, user, schedules, int(lasts_s))
        workers = [asyncio.create_task(witness.work(user, replicas.addresses)) for _ in range(WORKERS)]
        stack.push_async_callback(cancel_and_wait, workers)
        chaos = Chaos(replicas, postgres, nats)
        await chaos.go_on(faults, begun)
        await _until_settled(postgres.url)
        connection = await asyncpg.connect(database_url(postgres.url, "rota_scheduler"))
        rows = [Row(**row) for row in await connection.fetch(_LEDGER)]
        published = [row["run_id"] for row in await connection.fetch(_PUBLISHED)]
        await connection.close()
        report = check(expected, rows, witness.deliveries, published=published, windows=chaos.windows)
        return report, recoveries(witness.deliveries, chaos.windows)


async def _add_schedules(
    server_url: str, port: int, user: User, count: int, seconds: int
) -> Mapping[str, Sequence[datetime]]:
    """Schedules that fire for `seconds` from shortly after now on, as many each second; the nominal times of each."""
    now = datetime.now(UTC)
    starts_at = now.replace(microsecond=0) + timedelta(seconds=5)
    ends_at = starts_at + timedelta(seconds=seconds)
    expected = {}
    database = await Database.connect(database_url(server_url, "rota_scheduler"), size=1, name="chaos")
    async with database.transaction() as work:
        await work.connection.execute(
            "INSERT INTO memberships (workspace_id, user_id, role, version, removed)"
            " VALUES ($1, $2, 'owner', 1, false)",
            user.workspace_id,
            user.id,
        )
        for number in range(count):
            phase_s = number // EVERY_S % EVERY_S
            timing = Timing(spec=_ENCODE(schedules_pb2.ScheduleSpec(every_s=EVERY_S, phase_s=phase_s)))
            policies = Policies(
                overlap=OVERLAPS[number // EVERY_S**2 % len(OVERLAPS)],
                misfire=Misfire.ALL,
                starts_at=starts_at,
                ends_at=ends_at,
                # What shares something is claimed after it was made.
                concurrency_key=f"Chaos {number}" if number % EVERY_S**2 == 1 else None,
            )
            schedule = Schedule(
                id=uuid7(),
                workspace_id=user.workspace_id,
                name=f"Chaos {number}",
                timing=timing,
                policies=policies,
                action=_action(number, port),
                next_fire_at=cursor_of(timing, policies, created_at=now, now=now, seed=""),
                created_by=user.id,
                created_at=now,
                updated_at=now,
            )
            await store.add(work, schedule)
            expected[str(schedule.id)] = [
                datetime.fromtimestamp(second, UTC)
                for second in range(int(starts_at.timestamp()), int(ends_at.timestamp()))
                if second % EVERY_S == phase_s
            ]
    await database.close()
    return expected


def _action(number: int, port: int) -> Mapping[str, Any]:
    """Of ten schedules seven call, two have jobs done, and one publishes an event; attempts do not run out."""
    retry = {"max_attempts": 20}
    match number % 10:
        case 7 | 8:
            return {"job": {"queue": QUEUE, "payload": None}, "retry": retry}
        case 9:
            return {"event": {"type": "chaos", "data": None}, "retry": retry}
        case _:
            path = SLOW if number % EVERY_S**2 == 0 else "/"
            call = {"method": "post", "url": f"http://127.0.0.1:{port}{path}", "body": None}
            return {"http": call, "retry": retry}


async def _until_settled(server_url: str) -> None:
    connection = await asyncpg.connect(database_url(server_url, "rota_scheduler"))
    for _ in range(SETTLE_AT_MOST_S):
        if not await connection.fetchval(_OPEN):
            break
        await asyncio.sleep(1)
    await connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _tell(report: Report, found: Sequence[Recovery], seed: int) -> int:
    latest = max(report.late, default=timedelta(0))
    print(f"{'':44} {'a second':>9} {'lowest':>7} {'as before after':>16}")
    for each in sorted(found, key=lambda each: str(each.window.fault)):
        after = "not" if each.after_s is None else f"{each.after_s:.1f} s"
        print(f"{each.window.fault!s:44} {each.before:9.0f} {each.lowest:7} {after:>16}")
    print(
        f"seed {seed}: {report.times} nominal times, {report.ran} ran, {report.skipped} skipped or cancelled, "
        f"{len(report.late)} late (most {latest.total_seconds():.1f} s), "
        f"{report.repeated} deliveries repeated with the same key, {report.once} events each once, "
        f"{len(report.lost)} lost, {len(report.doubled)} doubled, {len(report.unexplained)} late or early unexplained"
    )
    for wrong in (*report.lost[:20], *report.doubled[:20], *report.unexplained[:20]):
        print(f"  {wrong}")
    return 0 if report.is_clean else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schedules", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--faults", type=int, help="how many happen; absent means all, within five minutes")
    given = parser.parse_args()
    sys.exit(_tell(*asyncio.run(main(given.schedules, given.seed, given.faults)), given.seed))

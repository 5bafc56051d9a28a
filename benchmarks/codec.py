"""Time of the compiled codec beside google.protobuf.json_format, per call, best of several runs.

Run with `python benchmarks/codec.py`, or with `--quick` for a second's worth of it.
"""

from __future__ import annotations

import argparse
import timeit
from typing import TYPE_CHECKING

import orjson
from google.protobuf import json_format
from rota.tasks.v1.tasks_pb2 import TASK_PRIORITY_HIGH, TASK_STATUS_TODO, CreateTaskRequest, ListTasksResponse, Task
from rota_chassis.codec import decoder, encoder

if TYPE_CHECKING:
    from collections.abc import Callable

USER = "0193b2a4-7c1e-7a53-9d2e-5f0c3b1a2d4e"
BODY: dict[str, object] = {
    "title": "Water the plants",
    "description": "The ones on the balcony too",
    "priority": "high",
    "due_at": "2026-01-02T03:04:05Z",
    "remind_at": "2026-01-02T02:04:05.5+02:00",
    "assignee_ids": [USER, USER.replace("4e", "4f")],
}


def a_task() -> Task:
    """A task as most are: assigned, due, not completed."""
    task = Task(
        id=USER,
        workspace_id=USER,
        title="Water the plants",
        description="The ones on the balcony too",
        status=TASK_STATUS_TODO,
        priority=TASK_PRIORITY_HIGH,
        assignee_ids=[USER],
        created_by=USER,
        version=3,
        etag='"3"',
    )
    for instant in (task.due_at, task.created_at, task.updated_at):
        instant.FromJsonString("2026-01-02T03:04:05.123456Z")
    return task


def best(call: Callable[[], object], *, quick: bool) -> float:
    """Microseconds of one call."""
    number, repeat = (500, 3) if quick else (20_000, 7)
    return min(timeit.repeat(call, number=number, repeat=repeat)) / number * 1e6


def main() -> None:
    """Print a line for each comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few repetitions, rough figures")
    quick = parser.parse_args().quick
    task = a_task()
    page = ListTasksResponse(tasks=[task] * 50)
    text = orjson.dumps(BODY)
    decode = decoder(CreateTaskRequest, exclude=frozenset({"request_id"}))
    encode_task, encode_page = encoder(Task), encoder(ListTasksResponse)

    def peer_encode(message: Task | ListTasksResponse) -> object:
        return json_format.MessageToDict(
            message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )

    def peer_decode(body: dict[str, object]) -> object:
        return json_format.ParseDict({**body, "priority": "TASK_PRIORITY_HIGH"}, CreateTaskRequest())

    comparisons: tuple[tuple[str, Callable[[], object], Callable[[], object]], ...] = (
        ("encode Task", lambda: encode_task(task), lambda: peer_encode(task)),
        ("encode Task to bytes", lambda: orjson.dumps(encode_task(task)), lambda: orjson.dumps(peer_encode(task))),
        ("encode 50 Tasks", lambda: encode_page(page), lambda: peer_encode(page)),
        ("decode CreateTaskRequest", lambda: decode(BODY), lambda: peer_decode(BODY)),
        ("decode it from bytes", lambda: decode(orjson.loads(text)), lambda: peer_decode(orjson.loads(text))),
    )
    print(f"{'':26}{'codec':>12}{'json_format':>14}{'ratio':>8}")
    for name, ours, peers in comparisons:
        mine, theirs = best(ours, quick=quick), best(peers, quick=quick)
        print(f"{name:26}{mine:9.1f} us{theirs:11.1f} us{theirs / mine:7.1f}x")


if __name__ == "__main__":
    main()

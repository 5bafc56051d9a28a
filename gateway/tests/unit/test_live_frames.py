"""Whom the frames of the live channels are for."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from nats.aio.msg import Msg
from rota_gateway.live.protocol import Channel, event_frame


def frame_of(event_type: str, data: dict[str, Any]) -> Any:
    headers = {"ce-type": event_type, "ce-id": "1", "ce-workspaceid": "garden", "ce-time": "2026-01-02T03:04:05Z"}
    client: Any = None
    return event_frame(Msg(client, "subject", data=orjson.dumps(data), headers=headers), Channel.TASKS, 1, "epoch")


@pytest.mark.parametrize("what", ["created", "updated", "deleted"])
def test_a_saved_filter_is_its_owners_alone_unless_it_is_shared(what: str) -> None:
    for is_shared, user_id in ((False, "ada"), (True, None)):
        frame = frame_of(f"saved_filter.{what}", {"saved_filter": {"is_shared": is_shared, "owner_id": "ada"}})
        assert (frame.user_id, frame.workspace_id) == (user_id, "garden")


def test_a_task_is_everyones_in_the_workspace() -> None:
    assert frame_of("task.created", {"task": {}}).user_id is None

"""The JetStream streams: `ROTA_EVENTS` with every event, and `ROTA_DEAD_LETTERS`, the index of what was given up.

Events are kept by limits: a consumer that does not exist yet can still read what happened. Whoever starts first makes
the streams; making them again changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nats.js import api
from nats.js.errors import BadRequestError

from rota_chassis.events.envelope import SUBJECT_PREFIX

if TYPE_CHECKING:
    from nats.js import JetStreamContext

EVENTS_STREAM = "ROTA_EVENTS"
DEAD_LETTERS_STREAM = "ROTA_DEAD_LETTERS"
DUPLICATE_WINDOW_S = 600
EVENTS_KEPT_S = 30 * 86_400
DEAD_LETTERS_KEPT_S = 90 * 86_400

_STREAM_EXISTS = 10058


async def ensure_streams(jetstream: JetStreamContext) -> None:
    """Make both streams, or leave them as they are.

    Raises:
        nats.errors.Error: JetStream does not answer, or a stream exists with other subjects.
    """
    await _ensure(
        jetstream,
        api.StreamConfig(
            name=EVENTS_STREAM,
            description="Every event of Rota, in CloudEvents binary mode.",
            subjects=[f"{SUBJECT_PREFIX}.>"],
            retention=api.RetentionPolicy.LIMITS,
            storage=api.StorageType.FILE,
            max_age=EVENTS_KEPT_S,
            duplicate_window=DUPLICATE_WINDOW_S,
            allow_atomic=True,
            allow_direct=True,
        ),
    )
    await _ensure(
        jetstream,
        api.StreamConfig(
            name=DEAD_LETTERS_STREAM,
            description="Deliveries that were given up; each names the stream, the consumer and the sequence.",
            subjects=[
                f"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{EVENTS_STREAM}.*",
                f"$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.{EVENTS_STREAM}.*",
            ],
            retention=api.RetentionPolicy.LIMITS,
            storage=api.StorageType.FILE,
            max_age=DEAD_LETTERS_KEPT_S,
        ),
    )


async def _ensure(jetstream: JetStreamContext, config: api.StreamConfig) -> None:
    try:
        await jetstream.add_stream(config)
    except BadRequestError as error:
        if error.err_code != _STREAM_EXISTS:
            raise
        await jetstream.update_stream(config)

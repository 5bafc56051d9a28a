"""The body of a call: as it was written, or made of a template when it is sent.

What a template knows of the run is the same in each attempt: what is sent with one idempotency key is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import orjson

from rota_scheduler import expressions

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from rota_scheduler.runs.domain import Run

_A_RUN = {"id": str(UUID(int=0)), "schedule_id": str(UUID(int=0)), "nominal_time": "1970-01-01T00:00:00Z"}


def check_template(template: Any) -> None:
    """Return if a template has a value for every run.

    Raises:
        ExpressionError: an expression cannot be read, or names what no run has.
    """
    for manual in (False, True):
        expressions.expand(template, {"run": {**_A_RUN, "manual": manual}})


def body_of(call: Mapping[str, Any], run: Run) -> bytes | None:
    """What is sent; None when the call has no body.

    Raises:
        ExpressionError: it is a template without a value for this run.
    """
    text, body = call.get("text"), call.get("body")
    if call.get("template"):
        text, body = (expressions.expand(each, {"run": _known_of(run)}) for each in (text, body))
    if text is not None:
        return (text if isinstance(text, str) else orjson.dumps(text).decode()).encode()
    return None if body is None else orjson.dumps(body)


def _known_of(run: Run) -> Mapping[str, Any]:
    return {
        "id": str(run.id),
        "schedule_id": str(run.schedule_id),
        "nominal_time": run.nominal_time.isoformat().replace("+00:00", "Z"),
        "manual": run.manual,
    }

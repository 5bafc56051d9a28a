"""What a failed call of another service means for the run that made it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import Conflict

from rota_scheduler.runs.domain import Failed

if TYPE_CHECKING:
    from rota_chassis.errors import RotaError

_RETRYABLE_HTTP = frozenset({408, 429})
_SERVER_ERRORS = 500
_CAUSES = {503: "connection", 504: "timeout"}


def failed_call(error: RotaError) -> Failed:
    """The failure of an attempt; one that the service may answer otherwise next time is retryable."""
    status = error.http_status
    retryable = status >= _SERVER_ERRORS or status in _RETRYABLE_HTTP or isinstance(error, Conflict)
    return Failed(f"{error.code}: {error.detail}", retryable=retryable, cause=_CAUSES.get(status, str(status)))

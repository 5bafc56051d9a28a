"""Turns whatever the stages after it raise into a problem document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import RotaError
from rota_chassis.logs import logger

from rota_gateway.bodies import ClientGone
from rota_gateway.exchange import exchange_of
from rota_gateway.problems import Refused, crash, problem_of, send_problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_SERVER_ERROR = 500
_LOG = logger(__name__)


class Errors:
    """Answers for what went wrong; a crash is logged, and nothing of it is told."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        exchange = exchange_of(scope)
        try:
            await self._app(scope, receive, send)
        except Refused as refused:
            problem = refused.problem
        except RotaError as error:
            problem = problem_of(error)
            if error.http_status >= _SERVER_ERROR:
                _LOG.warning("http.failed", code=error.code, detail=error.detail, route=exchange.route)
            if exchange.status:
                return  # the answer has begun: the server cuts the connection of one that has no end
        except ClientGone:
            return
        except Exception:
            _LOG.exception("http.crashed", route=exchange.route)
            if exchange.status:
                raise  # the answer has begun: only cutting the connection tells the client
            problem = crash()
        else:
            return
        await send_problem(send, exchange, problem)

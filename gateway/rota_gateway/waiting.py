"""Giving up what nobody waits for any more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from rota_gateway.bodies import ClientGone

if TYPE_CHECKING:
    from types import TracebackType

    from starlette.types import Receive

# Most answers are there before; looking for the client costs a task, which they can do without.
LOOK_AFTER_S = 0.05


class WhileClientWaits:
    """A block that is cancelled when the client closes the connection, and then raises `ClientGone`.

    It is for reads alone: what changes something goes on to its end, so that a repetition finds its record. Cancelling
    a call to a service cancels it there, down to the query.

    Args:
        receive: of the request, whose body has been read.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._looking: asyncio.Task[None] | None = None
        self._gone = False

    async def __aenter__(self) -> None:
        """Begin to wait."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a client is waited for in a task")
        self._task, self._cancelled_before = task, task.cancelling()
        self._timer = asyncio.get_running_loop().call_later(LOOK_AFTER_S, self._look)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        """End, as `asyncio.timeout` does.

        Raises:
            ClientGone: the client has gone, and nobody else has cancelled the task.
        """
        self._timer.cancel()
        if self._looking is not None:
            self._looking.cancel()
        if self._gone and self._task.uncancel() <= self._cancelled_before and kind is asyncio.CancelledError:
            raise ClientGone from error

    def _look(self) -> None:
        self._looking = asyncio.create_task(self._left())
        self._looking.add_done_callback(self._give_up)

    async def _left(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def _give_up(self, looking: asyncio.Task[None]) -> None:
        if not looking.cancelled():
            self._gone = True
            self._task.cancel()

"""The actions `notify` and `event`: what they say is published with the end of the run, in its transaction, so once.

No other service judges them, so it is done here whether the schedule's creator may still write in the workspace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct
from rota.events.v1 import events_pb2
from rota_chassis.errors import RotaError
from rota_chassis.memberships import WRITERS

from rota_scheduler.actions.failures import failed_call
from rota_scheduler.runs.domain import Failed, Succeeded

if TYPE_CHECKING:
    from rota_chassis.memberships import Memberships

    from rota_scheduler.runs.domain import Outcome, Run

CUSTOM = "custom."


class Tell:
    """Says what actions want to be said."""

    def __init__(self, memberships: Memberships) -> None:
        self._memberships = memberships

    async def notify(self, run: Run) -> Outcome:
        """Notify members of the workspace; nobody, when one of those named is none."""
        given = run.parameters
        try:
            await self._memberships.require(run.acts_for, run.workspace_id, WRITERS)
            strangers = await self._memberships.strangers(run.workspace_id, [UUID(each) for each in given["user_ids"]])
        except RotaError as error:
            return failed_call(error)
        if strangers:
            named = ", ".join(sorted(str(each) for each in strangers))
            return Failed(f"Only members of the workspace can be notified; these are not: {named}.", retryable=False)
        told = events_pb2.RunNotified(
            run_id=str(run.id),
            schedule_id=str(run.schedule_id),
            user_ids=given["user_ids"],
            title=given["title"],
            body=given.get("body") or "",
        )
        return Succeeded(events=(told,))

    async def event(self, run: Run) -> Outcome:
        """Publish an event that users have defined."""
        given = run.parameters
        try:
            await self._memberships.require(run.acts_for, run.workspace_id, WRITERS)
        except RotaError as error:
            return failed_call(error)
        data = given.get("data")
        published = events_pb2.CustomPublished(
            name=CUSTOM + given["type"],
            data=None if data is None else ParseDict(data, Struct()),
            run_id=str(run.id),
            schedule_id=str(run.schedule_id),
        )
        return Succeeded(events=(published,))

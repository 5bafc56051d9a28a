"""The actions `notify` and `event`: what they say is published with the end of the run, in its transaction, so once.

No other service judges them, so it is done here whether the schedule's creator may still write in the workspace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct
from rota.events.v1 import events_pb2
from rota_chassis.errors import RotaError
from rota_chassis.memberships import WRITERS

from rota_scheduler import origins
from rota_scheduler.actions.failures import failed_call
from rota_scheduler.runs.domain import Failed, Succeeded

if TYPE_CHECKING:
    from rota_chassis.memberships import Memberships
    from rota_chassis.postgres.database import Database

    from rota_scheduler.runs.domain import Outcome, Run

CUSTOM = "custom."


class Tell:
    """Says what actions want to be said."""

    def __init__(self, memberships: Memberships, database: Database) -> None:
        self._memberships = memberships
        self._database = database

    async def notify(self, run: Run) -> Outcome:
        """Notify members of the workspace; nobody, when one of those named is none."""
        given = run.parameters
        try:
            await self._memberships.require(run.acts_for, run.workspace_id, WRITERS)
            strangers = await self._memberships.strangers(run.workspace_id, [UUID(each) for each in given["user_ids"]])
            origin = await self._origin(run)
        except RotaError as error:
            return failed_call(error)
        if strangers:
            named = ", ".join(sorted(str(each) for each in strangers))
            return Failed(f"Only members of the workspace can be notified; these are not: {named}.", retryable=False)
        told = events_pb2.RunNotified(
            **origin,
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
            origin = await self._origin(run)
        except RotaError as error:
            return failed_call(error)
        data = given.get("data")
        published = events_pb2.CustomPublished(
            name=CUSTOM + given["type"],
            data=None if data is None else ParseDict(data, Struct()),
            project_ids=run.project_ids,
            **origin,
        )
        return Succeeded(events=(published,))

    async def _origin(self, run: Run) -> dict[str, Any]:
        """The run, and what started it, as the events tell."""
        origin = await origins.of_run(self._database, run)
        return {
            "run_id": str(run.id),
            "schedule_id": str(run.schedule_id) if origins.is_of_schedule(run) else "",
            "rule_id": str(origin.rule_id) if origin.rule_id else None,
            "workflow_run_id": str(origin.workflow_run_id) if origin.workflow_run_id else None,
        }

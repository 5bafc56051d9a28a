"""Tables that several services have.

A migration calls the version it was written with; a change of shape is a new function, never an edit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_EVENT_LOG_V1 = (
    """
    CREATE TABLE events (
        -- First, so that a row has its transaction before it has its position.
        xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
        position bigint GENERATED ALWAYS AS IDENTITY,
        workspace_id uuid NOT NULL,
        id uuid NOT NULL,
        aggregate text NOT NULL,
        aggregate_id uuid NOT NULL,
        aggregate_version integer NOT NULL,
        type text NOT NULL,
        schema_version smallint NOT NULL,
        data jsonb NOT NULL,
        actor text NOT NULL,
        time timestamptz NOT NULL,
        traceparent text,
        published_at timestamptz,
        PRIMARY KEY (workspace_id, id),
        UNIQUE (workspace_id, aggregate_id, aggregate_version)
    )
    """,
    "CREATE INDEX events_position ON events (position)",
    "CREATE INDEX events_unpublished ON events (position) WHERE published_at IS NULL",
)
_INBOX_V1 = (
    """
    CREATE TABLE inbox (
        workspace_id uuid NOT NULL,
        consumer text NOT NULL,
        event_id uuid NOT NULL,
        received_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (workspace_id, consumer, event_id)
    )
    """,
    "CREATE INDEX inbox_received_at ON inbox (received_at)",
)
_MEMBERSHIPS_V1 = (
    """
    CREATE TABLE memberships (
        workspace_id uuid NOT NULL,
        user_id uuid NOT NULL,
        role text NOT NULL,
        version integer NOT NULL,
        removed boolean NOT NULL,
        PRIMARY KEY (workspace_id, user_id)
    )
    """,
    "CREATE INDEX memberships_user ON memberships (user_id, workspace_id) WHERE NOT removed",
)
_PRIVATE_PROJECTS_V1 = (
    """
    CREATE TABLE private_projects (
        workspace_id uuid NOT NULL,
        project_id uuid NOT NULL,
        version integer NOT NULL,
        private boolean NOT NULL,
        member_ids uuid[] NOT NULL,
        PRIMARY KEY (workspace_id, project_id)
    )
    """,
    "CREATE TABLE private_projects_asked (workspace_id uuid PRIMARY KEY)",
)


def create_event_log_v1(execute: Callable[[str], None]) -> None:
    """The event log (`events.log.EVENTS`)."""
    for sql in _EVENT_LOG_V1:
        execute(sql)


def add_causation_depth_v1(execute: Callable[[str], None]) -> None:
    """How many rules led to an event, in the event log."""
    execute("ALTER TABLE events ADD causation_depth smallint NOT NULL DEFAULT 0")


def create_inbox_v1(execute: Callable[[str], None]) -> None:
    """The inbox of the service's consumers (`events.consumer.INBOX`)."""
    for sql in _INBOX_V1:
        execute(sql)


def create_memberships_v1(execute: Callable[[str], None]) -> None:
    """The service's copy of memberships (`memberships.MEMBERSHIPS`)."""
    for sql in _MEMBERSHIPS_V1:
        execute(sql)


def index_private_projects_v1(execute: Callable[[str], None]) -> None:
    """For who asks which projects of a workspace are private (`private_projects.hidden_from`)."""
    execute("CREATE INDEX private_projects_private ON private_projects (workspace_id) WHERE private")


def create_private_projects_v1(execute: Callable[[str], None]) -> None:
    """The service's copy of private projects (`private_projects.PRIVATE_PROJECTS`)."""
    for sql in _PRIVATE_PROJECTS_V1:
        execute(sql)

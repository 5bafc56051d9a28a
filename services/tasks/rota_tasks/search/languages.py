"""The languages that searches understand, and for which the documents of a workspace have been prepared.

A user sets one, and keeps it when another workspace becomes their own: they have one row, or two if they set it in both
at once. The documents of each of their workspaces then have the words of its texts also as the stems of that language
(see `documents`), whoever wrote them. A workspace gets a language when one of its members first needs it, and keeps it:
a row of `search_languages`, which every document written from then on goes by. Those from before are made anew in the
background, by whoever comes first, some at a time; then the row is ready. Two that need it at once make one row.

Whoever wrote a document while the row was being made may not have seen it, and may commit late, even behind the place
that the making anew has reached. So that begins when every transaction has ended that was there when the row was first
seen (`begins_after`): what it sees then is all that was written without the language.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rota_chassis.postgres.statements import statement
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import UUID as PgUUID

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any
    from uuid import UUID

    from rota_chassis.postgres.work import Reader, UnitOfWork

EXACT = "simple"
"""The configuration of PostgreSQL that takes words as they are written."""
CONFIGURATIONS = {
    "ar": "arabic",
    "ca": "catalan",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "eu": "basque",
    "fi": "finnish",
    "fr": "french",
    "ga": "irish",
    "hi": "hindi",
    "hu": "hungarian",
    "hy": "armenian",
    "id": "indonesian",
    "it": "italian",
    "lt": "lithuanian",
    "ne": "nepali",
    "nl": "dutch",
    "no": "norwegian",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sr": "serbian",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
    "yi": "yiddish",
}
"""PostgreSQL's configuration for a language, by its ISO 639-1 code; those that 15 has."""

_OWN, _USER = bindparam("own_workspace_id", type_=PgUUID), bindparam("user_id", type_=PgUUID)
_WORKSPACE = bindparam("workspace_id", type_=PgUUID)
_LOCK = statement(
    text(
        "SELECT workspace_id FROM search_settings WHERE user_id = :user_id ORDER BY workspace_id FOR UPDATE"
    ).bindparams(_USER)
)
_SET = statement(
    text(
        """
        WITH before AS (
            DELETE FROM search_settings WHERE user_id = :user_id AND workspace_id <> :own_workspace_id)
        INSERT INTO search_settings (workspace_id, user_id, language) VALUES (:own_workspace_id, :user_id, :language)
        ON CONFLICT (workspace_id, user_id) DO UPDATE SET language = excluded.language
        """
    ).bindparams(_OWN, _USER)
)
_UNSET = statement(text("DELETE FROM search_settings WHERE user_id = :user_id").bindparams(_USER))
_SETTING = """
    (SELECT user_id, language FROM search_settings WHERE user_id = :user_id
        ORDER BY workspace_id = :own_workspace_id DESC, workspace_id DESC LIMIT 1) AS setting
"""
_OF_USER = statement(
    text(
        f"""
        SELECT setting.language,
            bool_and(memberships.workspace_id IS NULL OR coalesce(of_workspace.ready, false)) AS ready,
            bool_or(memberships.workspace_id IS NOT NULL AND of_workspace.workspace_id IS NULL) AS missing
        FROM {_SETTING}
        LEFT JOIN memberships ON memberships.user_id = setting.user_id AND NOT memberships.removed
            AND (CAST(:workspace_id AS uuid) IS NULL OR memberships.workspace_id = :workspace_id)
        LEFT JOIN search_languages of_workspace
            ON of_workspace.workspace_id = memberships.workspace_id AND of_workspace.language = setting.language
        GROUP BY setting.language
        """  # noqa: S608 (the constant above)
    ).bindparams(_OWN, _USER, _WORKSPACE)
)
_BEGIN = statement(
    text(
        f"""
        INSERT INTO search_languages (workspace_id, language)
        SELECT memberships.workspace_id, setting.language
        FROM {_SETTING}
        JOIN memberships ON memberships.user_id = setting.user_id AND NOT memberships.removed
        ORDER BY memberships.workspace_id
        ON CONFLICT DO NOTHING
        """  # noqa: S608 (the constant above)
    ).bindparams(_OWN, _USER)
)
_IS_UNKNOWN = """
    NOT EXISTS (
        SELECT FROM pg_ts_config
        WHERE cfgname = language AND cfgnamespace = CAST('pg_catalog' AS regnamespace))
"""
_FORGET = statement(text(f"DELETE FROM search_languages WHERE {_IS_UNKNOWN} RETURNING workspace_id, language"))  # noqa: S608 (the constant above)
_FORGET_SETTINGS = statement(text(f"DELETE FROM search_settings WHERE {_IS_UNKNOWN}"))  # noqa: S608 (the constant above)


@dataclass(frozen=True, slots=True)
class Setting:
    """What a user has set.

    Attributes:
        configuration: Of PostgreSQL, for the language; `EXACT` for none.
        ready: Whether the documents of the workspaces in question are prepared for it.
        missing: Whether one of them does not know yet that it is to be.
    """

    configuration: str = EXACT
    ready: bool = True
    missing: bool = False

    @property
    def in_effect(self) -> str:
        """The configuration that searches go by."""
        return self.configuration if self.ready else EXACT

    @property
    def language(self) -> str | None:
        """Its ISO 639-1 code."""
        return next((code for code, name in CONFIGURATIONS.items() if name == self.configuration), None)


async def setting_of(
    reader: Reader, *, own_workspace_id: UUID, user_id: UUID, workspace_id: UUID | None = None
) -> Setting:
    """What a user has set, and how far it is, in one of their workspaces or in all."""
    row = await reader.fetch_one(
        _OF_USER, own_workspace_id=own_workspace_id, user_id=user_id, workspace_id=workspace_id
    )
    return Setting() if row is None else Setting(*row)


async def set_language(work: UnitOfWork, *, own_workspace_id: UUID, user_id: UUID, language: str | None) -> None:
    """Write what a user sets: the code of a language, or None for none."""
    await work.fetch(_LOCK, user_id=user_id)
    if language is None:
        await work.execute(_UNSET, user_id=user_id)
    else:
        await work.execute(_SET, own_workspace_id=own_workspace_id, user_id=user_id, language=CONFIGURATIONS[language])


async def begin(work: UnitOfWork, *, own_workspace_id: UUID, user_id: UUID) -> None:
    """Let the workspaces of a user be prepared for their language; those that are, or have begun, stay as they are."""
    await work.execute(_BEGIN, own_workspace_id=own_workspace_id, user_id=user_id)


async def forget_unknown(work: UnitOfWork) -> Sequence[Mapping[str, Any]]:
    """Forget the languages that PostgreSQL does not have, for which no document can be written; which they were."""
    await work.execute(_FORGET_SETTINGS)
    return await work.fetch(_FORGET)

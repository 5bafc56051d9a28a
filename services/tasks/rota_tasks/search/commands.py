"""Use cases that change how searches understand words: one function, one transaction each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_tasks.search import languages

if TYPE_CHECKING:
    from rota_chassis.identity import UserPrincipal

    from rota_tasks.tasks.dependencies import Tasks


async def set_search_settings(tasks: Tasks, user: UserPrincipal, *, language: str | None) -> languages.Setting:
    """Set the language of the user's searches, an ISO 639-1 code, or None; twice is as good as once."""
    whose = {"own_workspace_id": user.workspace_id, "user_id": user.user_id}
    # They may have come here for the first time.
    await tasks.memberships.require(user.user_id, user.workspace_id)
    async with tasks.database.transaction() as work:
        await languages.set_language(work, **whose, language=language)
        await languages.begin(work, **whose)
        return await languages.setting_of(work, **whose)

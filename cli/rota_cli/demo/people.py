"""People who use the API over HTTP, as patient clients do: what may have failed in passing is tried again."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

import httpx

PATIENCE_S = 60.0
"""How long a server that was killed may take to be back, on a machine that has much else to do."""
PASSING = frozenset({429, 502, 503, 504})


class StoryError(Exception):
    """The story did not go as it must; the sentence says where."""


@dataclass
class Person:
    """A user.

    Attributes:
        name: What the narrator calls them.
        id: User id.
        workspace_id: Their own workspace.
        token: Access token.
    """

    name: str
    email: str
    password: str = field(repr=False)
    id: str = ""
    workspace_id: str = ""
    token: str = field(default="", repr=False)


class Api:
    """The REST API at one address."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url.rstrip("/")
        self._http = httpx.AsyncClient(base_url=self.base_url, timeout=10)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def register(self, name: str) -> Person:
        """A new user with an address of their own, logged in."""
        person = Person(name, f"{name.lower()}-{secrets.token_hex(4)}@example.com", secrets.token_urlsafe())
        body = {"email": person.email, "password": person.password, "name": name}
        # A retry may find that the first try did register them.
        answer = await self.call(None, "POST", "/api/v1/auth/register", body, also=(409,))
        if "access_token" not in answer:
            credentials = {"email": person.email, "password": person.password}
            answer = await self.call(None, "POST", "/api/v1/auth/login", credentials)
        person.id, person.workspace_id = answer["user"]["id"], answer["workspace"]["id"]
        person.token = answer["access_token"]
        return person

    async def call(
        self,
        person: Person | None,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        also: tuple[int, ...] = (),
        headers: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """The JSON answer of a call.

        Args:
            person: Who calls; None for nobody.
            method: HTTP method.
            path: Path and query.
            body: JSON body.
            also: Statuses that are as good as success.
            headers: Further headers.

        Raises:
            StoryError: the answer is another, or none came within `PATIENCE_S` seconds.
        """
        sent = dict(headers or {})
        if person is not None:
            sent["Authorization"] = f"Bearer {person.token}"
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                answer = await self._http.request(method, path, json=body, headers=sent)
            except httpx.TransportError as error:
                said = repr(error)
            else:
                if answer.is_success or answer.status_code in also:
                    return dict(answer.json()) if answer.content else {}
                said = f"{answer.status_code} {answer.text}"
                if answer.status_code not in PASSING:
                    raise StoryError(f"{method} {path} answered {said}")
            if time.monotonic() > deadline:
                raise StoryError(f"{method} {path} still fails after {PATIENCE_S:.0f} s: {said}")
            await asyncio.sleep(0.1)

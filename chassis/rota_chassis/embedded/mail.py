"""A development mail server that keeps each mail as a file."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from aiosmtpd.smtp import SMTP

if TYPE_CHECKING:
    from aiosmtpd.smtp import Envelope, Session

HOST = "127.0.0.1"
_MAX_MAIL_BYTES = 32 * 1024 * 1024


class MailSink:
    """An SMTP server in this process that delivers to `<folder>/<time>-<to>.eml`, one file per recipient.

    Args:
        folder: Where mails go; made when absent.
        port: TCP port on the loopback address; any free one when 0.
    """

    name = "mail"
    pid = None

    def __init__(self, folder: Path, *, port: int = 0) -> None:
        self.folder = folder
        self._port = port
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """`smtp://127.0.0.1:<port>`."""
        return f"smtp://{HOST}:{self._port}"

    async def start(self) -> None:
        """Accept mail."""
        self.folder.mkdir(parents=True, exist_ok=True)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._session, HOST, self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Accept no more."""
        if self._server:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    def hurry(self) -> None:
        """It never takes long."""

    async def died(self) -> str:
        """Never: it lives as long as this process."""
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 (aiosmtpd's name)
        """Store a mail (RFC 5321, section 4.1.1.4)."""
        content = envelope.content
        body = content.encode() if isinstance(content, str) else content or b""
        for recipient in envelope.rcpt_tos:
            await asyncio.to_thread(self._store, recipient, body)
        return "250 Kept"

    def _session(self) -> SMTP:
        return SMTP(self, hostname="rota", data_size_limit=_MAX_MAIL_BYTES, enable_SMTPUTF8=True)

    def _store(self, recipient: str, body: bytes) -> None:
        """Write beside its place and link it there, so that a reader never sees half a mail."""
        safe = re.sub(r"[^A-Za-z0-9@._+-]", "_", recipient).strip(".")[:120]
        descriptor, name = tempfile.mkstemp(dir=self.folder, prefix=".", suffix=".part")
        unfinished = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            file.write(body)
        while True:
            stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
            try:
                (self.folder / f"{stamp}-{safe}.eml").hardlink_to(unfinished)
            except FileExistsError:
                continue
            break
        unfinished.unlink()

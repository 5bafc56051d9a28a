"""Handing mails to a mail server (RFC 5321), over connections that are kept while there is something to send."""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qsl, unquote, urlsplit

import aiosmtplib

if TYPE_CHECKING:
    from email.message import EmailMessage

CONNECT_TIMEOUT_S = 10.0
REPLY_TIMEOUT_S = 30.0
QUIT_TIMEOUT_S = 1.0

_PORTS = {"smtp": 25, "smtps": 465}
_STARTTLS = {"auto": None, "required": True, "never": False}
_PERMANENT = 500


class MailError(Exception):
    """A mail was not taken."""


class Refused(MailError):
    """The mail server will never take this mail."""


class Deferred(MailError):
    """The mail server did not take the mail this time, or it is not known whether it did."""


class Unreachable(MailError):
    """There is no mail server to talk to now; the mail has nothing to do with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailServer:
    """Where mails are handed in.

    Attributes:
        host: Its name or address.
        port: TCP port.
        tls: Whether the connection begins with TLS.
        starttls: Whether it is upgraded to TLS (RFC 3207): True always, False never, None if the server offers it.
        username: Who logs in; None to send without.
        password: With what.
    """

    host: str
    port: int
    tls: bool = False
    starttls: bool | None = None
    username: str | None = None
    password: str | None = None

    @classmethod
    def of(cls, url: str) -> Self:
        """Read `smtp://[user:password@]host[:port][?starttls=auto|required|never]`, or `smtps://…` for TLS throughout.

        With a user, `starttls` is "required" unless the URL says otherwise, so that the password never travels in the
        clear by accident; without one it is "auto".

        Raises:
            ValueError: it is not such a URL.
        """
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
        starttls = options.pop("starttls", "required" if parts.username else "auto")
        if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/") or options:
            raise ValueError(
                "the address of the mail server is not like smtp://host:port or smtps://user:password@host"
            )
        if starttls not in _STARTTLS:
            raise ValueError("starttls is one of auto, required, never")
        tls = parts.scheme == "smtps"
        return cls(
            host=parts.hostname,
            port=parts.port or _PORTS[parts.scheme],
            tls=tls,
            starttls=False if tls else _STARTTLS[starttls],
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
        )


class Mailer:
    """Sends mails one per connection at a time; connections are made as needed, and used again."""

    def __init__(self, server: MailServer) -> None:
        self._server = server
        self._idle: list[aiosmtplib.SMTP] = []
        self._tls_context: ssl.SSLContext | None = None

    @property
    def is_connected(self) -> bool:
        """Whether a connection is kept."""
        return bool(self._idle)

    async def send(self, message: EmailMessage, *, sender: str, recipient: str) -> None:
        """Hand a mail in; returning means the mail server answers for it now.

        Raises:
            Refused: it never will.
            Deferred: not now, or nobody knows.
            Unreachable: there was no connection to be had.
        """
        connection = await self._connection()
        # RFC 6531: addresses beyond ASCII need a server that says it knows them.
        utf8 = [] if sender.isascii() and recipient.isascii() else ["SMTPUTF8", "BODY=8BITMIME"]
        try:
            await connection.sendmail(sender, [recipient], message.as_bytes(), mail_options=utf8)
        except aiosmtplib.SMTPRecipientsRefused as error:
            self._give_back(connection)
            permanent = all(each.code >= _PERMANENT for each in error.recipients)
            raise (Refused if permanent else Deferred)(_said(error.recipients[0])) from error
        except aiosmtplib.SMTPSenderRefused as error:
            # Even for good, it says more about the server's settings than about this mail: those can be repaired.
            self._give_back(connection)
            raise Deferred(_said(error)) from error
        except aiosmtplib.SMTPResponseException as error:
            self._give_back(connection)
            raise (Refused if error.code >= _PERMANENT else Deferred)(_said(error)) from error
        except (aiosmtplib.SMTPNotSupported, ValueError) as error:
            connection.close()
            raise Refused(str(error)) from error
        except (aiosmtplib.SMTPException, OSError) as error:
            connection.close()
            raise Deferred(f"the connection broke: {error}") from error
        except asyncio.CancelledError:
            connection.close()
            raise
        self._give_back(connection)

    async def close(self) -> None:
        """Say goodbye on every connection that is kept; sending opens new ones."""
        connections, self._idle = self._idle, []
        await asyncio.gather(*map(_quit, connections))

    async def _connection(self) -> aiosmtplib.SMTP:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_connected:
                return connection
            connection.close()
        connection = aiosmtplib.SMTP(
            hostname=self._server.host,
            port=self._server.port,
            local_hostname=socket.gethostname(),
            timeout=CONNECT_TIMEOUT_S,
            use_tls=self._server.tls,
            start_tls=self._server.starttls,
            username=self._server.username,
            password=self._server.password,
            tls_context=self._context(),
        )
        try:
            await connection.connect()
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise Unreachable(f"no connection to the mail server: {error}") from error
        connection.timeout = REPLY_TIMEOUT_S
        return connection

    def _context(self) -> ssl.SSLContext:
        if self._tls_context is None:
            if self._server.tls or self._server.starttls:
                self._tls_context = ssl.create_default_context()
            else:
                # Opportunistic (RFC 7435): better than the clear text it replaces, whoever signed the certificate.
                self._tls_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                self._tls_context.check_hostname = False
                self._tls_context.verify_mode = ssl.CERT_NONE
        return self._tls_context

    def _give_back(self, connection: aiosmtplib.SMTP) -> None:
        if connection.is_connected:
            self._idle.append(connection)


async def _quit(connection: aiosmtplib.SMTP) -> None:
    try:
        await connection.quit(timeout=QUIT_TIMEOUT_S)
    except (aiosmtplib.SMTPException, OSError):
        pass  # the server was faster, or too slow
    finally:
        connection.close()


def _said(error: aiosmtplib.SMTPResponseException) -> str:
    return f"the mail server said {error.code} {error.message}"

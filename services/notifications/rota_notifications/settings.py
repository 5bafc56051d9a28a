"""The environment of the notifications service."""

from __future__ import annotations

from typing import Self

from pydantic import Field, SecretStr, model_validator
from rota_chassis.settings import ServiceSettings

from rota_notifications.email.rendering import address
from rota_notifications.email.smtp import MailServer


class NotificationsSettings(ServiceSettings):
    """What all services share, and how mail is sent.

    Attributes:
        smtp_url: `smtp://` or `smtps://`, see `MailServer.of`; secret, since it may hold a password.
        mail_from: Sender of every mail: "Name <address>" or an address.
        mail_connections: At most this many connections to the mail server at once.
        invitation_page: Address of the page of a front end that accepts invitations, with `{token}` where the token
            goes, best behind `#`; absent means that the mail gives the token itself.
    """

    smtp_url: SecretStr = SecretStr("smtp://127.0.0.1:1025")
    mail_from: str = "Rota <rota@rota.localhost>"
    mail_connections: int = Field(default=4, ge=1)
    invitation_page: str | None = Field(default=None, pattern=r"^https?://\S*\{token\}\S*$")

    @model_validator(mode="after")
    def _refuse_what_cannot_send(self) -> Self:
        MailServer.of(self.smtp_url.get_secret_value())
        address(self.mail_from)
        return self

"""Secrets that are made once and kept in the data folder, and the first admin's credentials."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rota_cli.folder import read_json, write_json

if TYPE_CHECKING:
    from rota_cli.folder import DataFolder
    from rota_cli.settings import Settings


@dataclass(frozen=True)
class Credentials:
    """What a running Rota needs to keep to itself.

    Attributes:
        warning: A sentence for the operator when the environment asks for something that is not done.
    """

    service_secret: str
    nats_password: str
    admin_email: str
    admin_password: str
    warning: str | None = None


def load(folder: DataFolder, settings: Settings) -> Credentials:
    """Read what is kept, make what is missing, keep what was made.

    The first admin is made once. Until then the environment decides the password; afterwards what is kept is what
    works, whatever the environment says.
    """
    kept = read_json(folder.secrets)
    made = {"service_secret": secrets.token_urlsafe(48), "nats_password": secrets.token_urlsafe(24)} | kept
    if made != kept:
        write_json(folder.secrets, made)
    admin = read_json(folder.admin)
    same_admin = admin.get("email") == settings.admin_email
    exists = same_admin and kept.get("admin_created") == settings.admin_email
    warning = None
    if exists or (same_admin and settings.admin_password is None):
        password = str(admin["password"])
        if settings.admin_password not in {None, password}:
            warning = f"ROTA_ADMIN_PASSWORD is not used: {settings.admin_email} was made before (see {folder.admin})."
    else:
        password = settings.admin_password or secrets.token_urlsafe(12)
        write_json(folder.admin, {"email": settings.admin_email, "password": password})
    return Credentials(
        service_secret=made["service_secret"],
        nats_password=made["nats_password"],
        admin_email=settings.admin_email,
        admin_password=password,
        warning=warning,
    )


def remember_admin(folder: DataFolder, credentials: Credentials) -> None:
    """Note that the first admin exists now."""
    write_json(folder.secrets, read_json(folder.secrets) | {"admin_created": credentials.admin_email})

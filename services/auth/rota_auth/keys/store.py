"""Where the signing key is kept: in the environment or in a file."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from rota_chassis.logs import logger

from rota_auth.keys.signing import SigningKey

if TYPE_CHECKING:
    from pathlib import Path

_LOG = logger(__name__)


def load_signing_key(*, pem: str | None, path: Path | None, may_create: bool) -> SigningKey:
    """The key in `pem`, or in the file, which is made when it is absent; with neither, one for this process alone.

    Raises:
        ValueError: the key is missing and may not be made, or is no P-256 key; the message says what to set.
        OSError: the file cannot be read or made.
    """
    if pem is not None:
        return SigningKey.from_pem(pem.encode())
    if path is None:
        if not may_create:
            raise ValueError("set ROTA_SIGNING_KEY or ROTA_SIGNING_KEY_FILE")
        _LOG.warning("signing_key.ephemeral", advice="Set ROTA_SIGNING_KEY_FILE, or a restart ends access tokens.")
        return SigningKey.generate()
    if not path.exists():
        if not may_create:
            raise ValueError(f"ROTA_SIGNING_KEY_FILE names {path}, which does not exist; production does not make it")
        _create(path)
    return SigningKey.from_pem(path.read_bytes())


def _create(path: Path) -> None:
    """Put a new key at `path` whole or not at all, unless another process just did; only the owner may read it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(SigningKey.generate().to_pem())
            file.flush()
            os.fsync(file.fileno())
        # A hard link, unlike a rename, never replaces the key of a faster process.
        path.hardlink_to(draft)
        _LOG.info("signing_key.created", path=str(path))
    except FileExistsError:
        _LOG.info("signing_key.found", path=str(path))
    finally:
        draft.unlink(missing_ok=True)

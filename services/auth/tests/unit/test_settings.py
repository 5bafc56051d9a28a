from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError
from rota_auth.settings import AuthSettings

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "s" * 32


def test_signing_up_is_open_and_an_access_token_lives_15_minutes() -> None:
    settings = AuthSettings()
    assert (settings.auth_signup, settings.access_token_lifetime_s, settings.admin) == ("open", 900, None)


def test_another_way_of_signing_up_is_refused_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROTA_AUTH_SIGNUP", "invite")
    with pytest.raises(ValidationError, match='ROTA_AUTH_SIGNUP must be "open"'):
        AuthSettings()


def test_production_needs_a_signing_key(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="set ROTA_SIGNING_KEY"):
        AuthSettings(environment="production", service_secret=SECRET)  # type: ignore[arg-type]
    AuthSettings(environment="production", service_secret=SECRET, signing_key_file=tmp_path / "key.pem")  # type: ignore[arg-type]


def test_the_signing_key_file_names_a_file_and_is_not_read_as_a_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ROTA_SIGNING_KEY_FILE", str(tmp_path / "absent.pem"))
    settings = AuthSettings()
    assert (settings.signing_key, settings.signing_key_file) == (None, tmp_path / "absent.pem")


@pytest.mark.parametrize(
    ("email", "password", "complaint"),
    [("nobody", "long enough", "ROTA_ADMIN_EMAIL"), ("ada@example.com", "short", "ROTA_ADMIN_PASSWORD")],
)
def test_the_first_administrator_follows_the_rules_of_registering(email: str, password: str, complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint) as caught:
        AuthSettings(admin_email=email, admin_password=password)  # type: ignore[arg-type]
    assert password not in str(caught.value)


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROTA_ADMIN_EMAIL", "ada@example.com")
    monkeypatch.setenv("ROTA_ADMIN_PASSWORD", "")
    assert AuthSettings().admin is None

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr, ValidationError
from rota_chassis.settings import DEVELOPMENT_SECRET, Environment, ServiceSettings, database_url

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "a secret that has thirty-two characters or more"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("ROTA_"):
            monkeypatch.delenv(name)


def test_everything_has_a_default_in_development() -> None:
    settings = ServiceSettings()
    assert settings.environment is Environment.DEVELOPMENT
    assert settings.address("tasks") == "127.0.0.1:9002"


def test_the_environment_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROTA_NATS_URL", "nats://elsewhere:4222")
    settings = ServiceSettings()
    monkeypatch.setenv("ROTA_NATS_URL", "nats://too-late:4222")
    assert settings.nats_url == "nats://elsewhere:4222"
    with pytest.raises(ValidationError, match="frozen"):
        settings.nats_url = "nats://changed:4222"


@pytest.mark.parametrize("name", ["service_secret", "postgres_url", "redis_url", "postgres_pool_size"])
def test_every_value_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    value = "7" if name == "postgres_pool_size" else SECRET
    (tmp_path / "value").write_text(f"{value}\n", encoding="utf-8")
    monkeypatch.setenv(f"ROTA_{name.upper()}_FILE", str(tmp_path / "value"))
    found = getattr(ServiceSettings(), name)
    assert (found.get_secret_value() if isinstance(found, SecretStr) else str(found)) == value


def test_a_variable_comes_before_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "url").write_text("redis://from-the-file", encoding="utf-8")
    monkeypatch.setenv("ROTA_REDIS_URL_FILE", str(tmp_path / "url"))
    monkeypatch.setenv("ROTA_REDIS_URL", "redis://from-the-variable")
    assert ServiceSettings().redis_url == "redis://from-the-variable"


def test_a_file_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ROTA_SERVICE_SECRET_FILE", str(tmp_path / "missing"))
    with pytest.raises(ValidationError, match=r"ROTA_SERVICE_SECRET_FILE.*No such file"):
        ServiceSettings()


def test_a_setting_that_is_itself_a_path_is_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class _Keeper(ServiceSettings):
        key: str | None = None
        key_file: str | None = None

    monkeypatch.setenv("ROTA_KEY_FILE", str(tmp_path / "made later"))
    settings = _Keeper()
    assert (settings.key, settings.key_file) == (None, str(tmp_path / "made later"))


def test_production_refuses_the_development_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROTA_ENVIRONMENT", "production")
    with pytest.raises(ValidationError, match="production does not start with the development secret"):
        ServiceSettings()
    monkeypatch.setenv("ROTA_SERVICE_SECRET", SECRET)
    assert ServiceSettings().environment is Environment.PRODUCTION


@pytest.mark.parametrize("environment", ["development", "test", "staging"])
def test_other_environments_start_with_it(monkeypatch: pytest.MonkeyPatch, environment: str) -> None:
    monkeypatch.setenv("ROTA_ENVIRONMENT", environment)
    assert ServiceSettings().service_secret.get_secret_value() == DEVELOPMENT_SECRET


def test_a_short_secret_is_refused_and_not_shown() -> None:
    with pytest.raises(ValidationError) as caught:
        ServiceSettings(service_secret=SecretStr("hunter2"))
    assert "at least 32 characters" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "wrong", [{"environment": "prod"}, {"postgres_pool_size": 0}, {"log_level": "loud"}, {"log_format": "xml"}], ids=str
)
def test_values_without_a_meaning_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ServiceSettings(**wrong)


def test_secrets_do_not_show() -> None:
    assert SECRET not in repr(ServiceSettings(service_secret=SecretStr(SECRET)))


def test_each_service_has_a_database_of_its_own() -> None:
    settings = ServiceSettings(postgres_url="postgresql://u:p@db:5432/postgres")
    assert settings.database_url("tasks") == "postgresql://u:p@db:5432/rota_tasks"


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("postgresql://postgres@/postgres?host=/run/pg", "postgresql://postgres@/rota?host=/run/pg"),
        ("postgresql:///postgres?host=/run/pg&user=me", "postgresql:///rota?host=/run/pg&user=me"),
        ("postgresql://db", "postgresql://db/rota"),
        ("postgresql://db/", "postgresql://db/rota"),
        ("postgresql://u:p%2F%3F@db:5432/x?sslmode=require", "postgresql://u:p%2F%3F@db:5432/rota?sslmode=require"),
        ("postgresql://a:1,b:2/x?target_session_attrs=any", "postgresql://a:1,b:2/rota?target_session_attrs=any"),
        ("postgresql://[::1]:5432/x", "postgresql://[::1]:5432/rota"),
    ],
)
def test_the_database_of_an_address_is_replaced(server: str, expected: str) -> None:
    assert database_url(server, "rota") == expected

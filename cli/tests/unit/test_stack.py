from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rota_cli import credentials, stack
from rota_cli.folder import DataFolder
from rota_cli.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

ELSEWHERE = {
    "ROTA_POSTGRES_URL": "postgresql://elsewhere/postgres",
    "ROTA_REDIS_URL": "redis://elsewhere",
    "ROTA_NATS_URL": "nats://elsewhere",
    "ROTA_SMTP_URL": "smtp://elsewhere:25",
}


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    made = DataFolder(tmp_path)
    made.prepare()
    return made


def _build(folder: DataFolder, monkeypatch: pytest.MonkeyPatch, **environment: str) -> stack.Stack:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = Settings.from_environment(environment)
    return stack.build(settings, folder, credentials.load(folder, settings))


def test_what_no_variable_names_is_embedded(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    built = _build(folder, monkeypatch)
    assert [server.name for server in built.servers] == ["postgres", "redis", "nats", "mail"]


def test_servers_that_are_elsewhere_are_used(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    built = _build(folder, monkeypatch, **ELSEWHERE)
    assert built.servers == []
    assert built.urls()["Events"] == "nats://elsewhere"
    for service in built.services():
        environment = service.program.environment
        assert {name: environment[name] for name in ELSEWHERE} == ELSEWHERE


def test_five_processes_find_each_other_by_unix_sockets(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    built = _build(folder, monkeypatch, **ELSEWHERE, ROTA_LISTEN="0.0.0.0:9000")
    services = built.services()
    assert [service.program.name for service in services if not service.is_front] == list(stack.BACKENDS)
    assert [service.program.name for service in services if service.is_front] == ["gateway"]
    environment = services[0].program.environment
    assert "ROTA_LISTEN" not in environment
    addresses = {environment[f"ROTA_{name.upper()}_ADDRESS"] for name in stack.BACKENDS}
    assert len(addresses) == 4
    assert all(address.startswith("unix:/") for address in addresses)


def test_secrets_from_the_environment_win(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    made = _build(folder, monkeypatch, **ELSEWHERE).services()[0].program.environment
    assert len(made["ROTA_SERVICE_SECRET"]) >= 32
    assert made["ROTA_SIGNING_KEY_FILE"] == str(folder.signing_key)
    given = {"ROTA_SERVICE_SECRET": "given", "ROTA_SIGNING_KEY": "key"}
    environment = _build(folder, monkeypatch, **ELSEWHERE, **given).services()[0].program.environment
    assert environment["ROTA_SERVICE_SECRET"] == "given"
    assert "ROTA_SIGNING_KEY_FILE" not in environment

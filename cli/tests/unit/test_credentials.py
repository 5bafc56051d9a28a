from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rota_cli import credentials
from rota_cli.folder import DataFolder, read_json
from rota_cli.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    made = DataFolder(tmp_path / "data")
    made.prepare()
    return made


def _settings(**environment: str) -> Settings:
    return Settings.from_environment(environment)


def test_secrets_are_made_once_and_only_their_owner_reads_them(folder: DataFolder) -> None:
    first = credentials.load(folder, _settings())
    assert credentials.load(folder, _settings()) == first
    assert len(first.service_secret) >= 32
    assert folder.secrets.stat().st_mode & 0o777 == 0o600
    assert folder.admin.stat().st_mode & 0o777 == 0o600
    assert read_json(folder.admin) == {"email": first.admin_email, "password": first.admin_password}


def test_the_environment_decides_the_password_until_the_admin_exists(folder: DataFolder) -> None:
    credentials.load(folder, _settings())
    assert credentials.load(folder, _settings(ROTA_ADMIN_PASSWORD="chosen")).admin_password == "chosen"
    assert read_json(folder.admin)["password"] == "chosen"


def test_another_password_for_an_admin_who_exists_is_not_pretended_to_work(folder: DataFolder) -> None:
    made = credentials.load(folder, _settings(ROTA_ADMIN_PASSWORD="first"))
    credentials.remember_admin(folder, made)
    later = credentials.load(folder, _settings(ROTA_ADMIN_PASSWORD="second"))
    assert later.admin_password == "first"
    assert later.warning is not None
    assert later.warning.startswith("ROTA_ADMIN_PASSWORD is not used")
    assert credentials.load(folder, _settings(ROTA_ADMIN_PASSWORD="first")).warning is None


def test_another_admin_gets_a_password_of_their_own(folder: DataFolder) -> None:
    made = credentials.load(folder, _settings())
    credentials.remember_admin(folder, made)
    other = credentials.load(folder, _settings(ROTA_ADMIN_EMAIL="other@example.com"))
    assert other.admin_password != made.admin_password
    assert read_json(folder.admin)["email"] == "other@example.com"

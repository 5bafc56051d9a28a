from __future__ import annotations

from pathlib import Path

import pytest
from rota_cli.errors import CommandError
from rota_cli.settings import Settings


def test_nothing_set_means_everything_embedded_on_the_loopback_address() -> None:
    settings = Settings.from_environment({})
    assert settings.data_dir == Path.cwd() / ".rota"
    assert settings.url == "http://127.0.0.1:8080"
    assert (settings.postgres_url, settings.redis_url, settings.nats_url, settings.smtp_url) == (None,) * 4
    assert (settings.admin_email, settings.admin_password) == ("admin@rota.localhost", None)


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("from a file\n", encoding="utf-8")
    environment = {"ROTA_ADMIN_PASSWORD_FILE": str(tmp_path / "password")}
    assert Settings.from_environment(environment).admin_password == "from a file"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="missing, which cannot be read"):
        Settings.from_environment({"ROTA_ADMIN_PASSWORD_FILE": str(tmp_path / "missing")})


@pytest.mark.parametrize("port", ["0", "65536", "-1", "8080.0", "eighty", "²"])
def test_a_port_is_a_number_in_range(port: str) -> None:
    with pytest.raises(CommandError, match="ROTA_HTTP_PORT"):
        Settings.from_environment({"ROTA_HTTP_PORT": port})


@pytest.mark.parametrize(
    ("host", "url"),
    [("0.0.0.0", "http://127.0.0.1:8080"), ("::", "http://[::1]:8080"), ("rota.test", "http://rota.test:8080")],
)
def test_a_server_on_every_address_is_reached_on_the_loopback_address(host: str, url: str) -> None:
    assert Settings.from_environment({"ROTA_HTTP_HOST": host}).url == url


@pytest.mark.parametrize("seconds", ["soon", "-1", "nan", "inf"])
def test_the_time_to_drain_is_a_number_of_seconds(seconds: str) -> None:
    with pytest.raises(CommandError, match="ROTA_DRAIN_SECONDS"):
        Settings.from_environment({"ROTA_DRAIN_SECONDS": seconds})

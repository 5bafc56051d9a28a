"""Where mails are handed in, from the environment."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from rota_notifications.email.smtp import MailServer
from rota_notifications.settings import NotificationsSettings


def test_a_plain_server_is_used_with_tls_if_it_offers_it() -> None:
    assert MailServer.of("smtp://mail.test:1025") == MailServer(host="mail.test", port=1025)


def test_ports_have_their_usual_defaults() -> None:
    assert MailServer.of("smtp://mail.test").port == 25
    assert MailServer.of("smtps://mail.test").port == 465


def test_a_password_is_decoded_and_never_sent_in_the_clear_by_accident() -> None:
    server = MailServer.of("smtp://ada%40mail.test:p%40ss%2Fword@mail.test:587")
    assert (server.username, server.password, server.starttls) == ("ada@mail.test", "p@ss/word", True)
    assert MailServer.of("smtp://a:b@mail.test?starttls=never").starttls is False


def test_smtps_is_tls_throughout() -> None:
    server = MailServer.of("smtps://a:b@[::1]:2465")
    assert (server.host, server.port, server.tls, server.starttls) == ("::1", 2465, True, False)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mail.test:25",
        "http://mail.test",
        "smtp://",
        "smtp://h:port",
        "smtp://h/x",
        "smtp://h?tls=1",
        "smtp://h?starttls=x",
        "smtp://h?x",
    ],
)
def test_other_addresses_are_refused_at_start(url: str) -> None:
    with pytest.raises(ValidationError):
        NotificationsSettings(smtp_url=url)  # type: ignore[arg-type]


def test_a_sender_that_is_no_address_is_refused_at_start() -> None:
    with pytest.raises(ValidationError):
        NotificationsSettings(mail_from="Rota")


def test_the_password_is_not_shown() -> None:
    settings = NotificationsSettings(smtp_url="smtp://ada:hidden@mail.test")  # type: ignore[arg-type]
    assert "hidden" not in repr(settings)

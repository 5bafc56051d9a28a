"""Mails as readers see them, whatever titles and names hold."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.utils import parseaddr
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rota_notifications.email.domain import Delivery
from rota_notifications.email.rendering import address, render
from rota_notifications.notifications.wording import one_line
from rota_notifications.people.domain import Person

if TYPE_CHECKING:
    from email.message import EmailMessage

SENDER = address("Rota <rota@localhost>")
HEADERS = {
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "X-Rota-Notification",
    "MIME-Version",
    "Content-Type",
}
DELIVERY = Delivery(
    workspace_id=uuid4(),
    id=uuid4(),
    notification_id=uuid4(),
    user_id=uuid4(),
    kind="task.assigned",
    title="Assigned to you: Water the plants",
    body="Ada assigned this task to you.",
    created_at=datetime(2026, 5, 1, 10, tzinfo=UTC),
    attempts=1,
    fence=1,
)
PERSON = Person(
    workspace_id=uuid4(),
    id=DELIVERY.user_id,
    email="grace@example.com",
    name="Grace Hopper",
    time_zone="UTC",
    locale="en",
    version=1,
)


def sent(delivery: Delivery = DELIVERY, person: Person = PERSON) -> EmailMessage:
    """The mail as it arrives."""
    raw = render(delivery, person, mail_from=SENDER).as_bytes()
    return message_from_bytes(raw, policy=policy.SMTPUTF8)


def part(message: EmailMessage, kind: str) -> str:
    body = message.get_body(preferencelist=(kind,))
    assert body is not None
    text: str = body.get_content()
    return text.replace("\r\n", "\n")


def raw_header(message: EmailMessage, name: str) -> str:
    """The header as it travels, unfolded."""
    return next(str(value) for key, value in message.raw_items() if key == name).replace("\r\n", "")


def decoded(header: str) -> str:
    """What a reader shows (RFC 2047)."""
    return str(make_header(decode_header(header)))


def shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


class Shown(HTMLParser):
    """Collects the tags and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_mail_carries_its_headers_and_both_bodies() -> None:
    message = sent()
    assert set(message.keys()) == HEADERS
    assert message["From"] == "Rota <rota@localhost>"
    assert message["To"] == "Grace Hopper <grace@example.com>"
    assert message["Subject"] == DELIVERY.title
    assert message["Date"].datetime == DELIVERY.created_at
    assert message["Message-ID"] == f"<{DELIVERY.id}@rota>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["X-Rota-Notification"] == str(DELIVERY.notification_id)
    text = part(message, "plain")
    assert text.startswith("Hello Grace Hopper,\n\nAssigned to you: Water the plants\n\nAda assigned this task to you.")
    assert "<h1" in part(message, "html")


def test_a_retry_is_the_same_mail() -> None:
    again = replace(DELIVERY, attempts=7, fence=9)
    first, second = sent(), sent(again)
    assert [first[name] for name in ("Message-ID", "Date", "Subject")] == [
        second[name] for name in ("Message-ID", "Date", "Subject")
    ]


def test_markup_in_a_title_is_shown_and_not_interpreted() -> None:
    hostile = '</title></h1><script>alert("1")</script><img src=x onerror=alert(1)> & {body}'
    page = part(sent(replace(DELIVERY, title=hostile, body=hostile), replace(PERSON, name=hostile)), "html")
    shown = Shown(page)
    assert set(shown.tags) == {"html", "head", "meta", "title", "body", "p", "h1"}
    assert hostile in shown.text


def test_a_header_cannot_be_injected_through_a_title_or_a_name() -> None:
    hostile = "x\r\nBcc: everyone@example.com\r\n\r\nHello\x0b\x1e\x85\u2028there"
    message = sent(replace(DELIVERY, title=hostile), replace(PERSON, name=hostile))
    assert set(message.keys()) == HEADERS
    assert message["Subject"] == "x Bcc: everyone@example.com Hello there"
    assert [each.addr_spec for each in message["To"].addresses] == ["grace@example.com"]


@settings(deadline=None)
@given(title=st.text(max_size=500), name=st.text(max_size=200))
def test_any_title_and_name_make_a_well_formed_mail(title: str, name: str) -> None:
    message = sent(replace(DELIVERY, title=f"Due: {title}", body=title), replace(PERSON, name=name))
    assert set(message.keys()) == HEADERS
    assert not message.defects
    shown, addr_spec = parseaddr(raw_header(message, "To"))
    assert addr_spec == "grace@example.com"
    assert decoded(shown) == shortened(one_line(name), 100)
    assert decoded(raw_header(message, "Subject")) == shortened(one_line(f"Due: {title}"), 200)


def test_a_mail_is_seven_bit_with_short_lines() -> None:
    raw = render(
        replace(DELIVERY, title="Zażółć gęślą jaźń 🌱" * 60, body="ź" * 3000), PERSON, mail_from=SENDER
    ).as_bytes()
    assert raw.isascii()
    assert max(len(line) for line in raw.split(b"\r\n")) <= 78


@pytest.mark.parametrize(
    "email", ["", "nobody", "a@", "@b", "a@b\r\nBcc: c@d", "a@b c", "a@b, c@d", "A <a@b>", "a\0@b", "a@b\u2028"]
)
def test_what_is_no_address_is_refused(email: str) -> None:
    with pytest.raises(ValueError, match="not a mail address"):
        render(DELIVERY, replace(PERSON, email=email), mail_from=SENDER)


def test_an_address_beyond_ascii_is_kept() -> None:
    raw = render(DELIVERY, replace(PERSON, email="zażółć@example.com"), mail_from=SENDER).as_bytes()
    assert "<zażółć@example.com>\r\n".encode() in raw

"""A delivery as a mail (RFC 5322, RFC 2045).

The same delivery gives the same mail at every try, Message-ID and Date included, so that a mail server or reader that
sees it twice can tell. Names and titles may hold anything: they are reduced to one line before they become headers,
which encode them (RFC 2047).
"""

from __future__ import annotations

import re
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime, parseaddr
from typing import TYPE_CHECKING

from rota_notifications.email import templates
from rota_notifications.email.headers import HEADERS
from rota_notifications.notifications.wording import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rota_notifications.email.domain import Delivery
    from rota_notifications.invitations.letters import Letter
    from rota_notifications.people.domain import Person

_SUBJECT_CHARACTERS = 200
_NAME_CHARACTERS = 100
# RFC 5321, section 4.1.2, without quoted local parts and address literals; RFC 6531 adds what lies beyond ASCII.
_ADDR_SPEC = re.compile(r"""[^\s<>()\[\],;:"\\@]+@[^\s<>()\[\],;:"\\@]+""")


def address(written: str) -> Address:
    """A mail address as people write it: `Name <local@domain>` or `local@domain`.

    Raises:
        ValueError: it is none.
    """
    name, addr_spec = parseaddr(written)
    return _address(name, addr_spec)


def render(delivery: Delivery, person: Person, *, mail_from: Address) -> EmailMessage:
    """The mail that tells the person.

    Raises:
        ValueError: the person's address is none.
    """
    words = {"name": one_line(person.name), "title": delivery.title, "body": delivery.body}
    message = _message(delivery, _address(person.name, person.email), words, mail_from=mail_from)
    message["X-Rota-Notification"] = str(delivery.notification_id)
    return message


def render_letter(delivery: Delivery, letter: Letter, *, mail_from: Address) -> EmailMessage:
    """The mail that invites somebody.

    Raises:
        ValueError: their address is none.
    """
    words = {"name": letter.name, "title": letter.title, "body": letter.body, "footer": letter.footer}
    return _message(delivery, _address(letter.name, letter.email), words, mail_from=mail_from)


def _message(delivery: Delivery, to: Address, words: Mapping[str, str], *, mail_from: Address) -> EmailMessage:
    # A local part or domain beyond ASCII has no other form than UTF-8 headers (RFC 6532).
    policy = SMTP if to.addr_spec.isascii() and mail_from.addr_spec.isascii() else SMTPUTF8
    message = EmailMessage(policy=policy.clone(cte_type="7bit", header_factory=HEADERS))
    message["From"] = mail_from
    message["To"] = to
    message["Subject"] = _shortened(one_line(words["title"]), _SUBJECT_CHARACTERS)
    message["Date"] = format_datetime(delivery.created_at)
    message["Message-ID"] = f"<{delivery.id}@rota>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office replies
    message.set_content(templates.as_text(**words))
    message.add_alternative(templates.as_html(**words), subtype="html")
    return message


def _address(name: str, addr_spec: str) -> Address:
    if _ADDR_SPEC.fullmatch(addr_spec) is None or addr_spec != one_line(addr_spec):
        raise ValueError("this is not a mail address")
    username, _, domain = addr_spec.rpartition("@")
    return Address(_shortened(one_line(name), _NAME_CHARACTERS), username, domain)


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"

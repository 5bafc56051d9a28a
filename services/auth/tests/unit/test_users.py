from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from rota_auth.users.domain import InvalidField, SystemRole, User, etag_matches, register, update

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
ZONES = frozenset({"UTC", "Europe/Warsaw"})


def a_user(name: str = "Ada") -> User:
    return register(uuid4(), uuid4(), email="Ada@Example.com", name=name, role=SystemRole.USER, now=NOW).user


def test_a_new_user_has_defaults_and_keeps_the_e_mail_address_as_written() -> None:
    user = a_user("  Ada \n")
    assert (user.name, user.email, user.time_zone, user.locale) == ("Ada", "Ada@Example.com", "UTC", "en")
    assert (user.version, user.etag) == (1, '"v1"')


def test_a_name_of_white_space_alone_is_refused() -> None:
    with pytest.raises(InvalidField, match="name"):
        a_user(" \t\u2003")


def test_a_change_is_the_next_version() -> None:
    user = a_user()
    [event] = update(user, {"name": " Grace ", "time_zone": "Europe/Warsaw"}, time_zones=ZONES, now=LATER)
    changed = event.user
    assert (changed.name, changed.time_zone, changed.locale) == ("Grace", "Europe/Warsaw", "en")
    assert (changed.version, changed.updated_at, changed.created_at) == (2, LATER, NOW)


def test_nothing_happens_when_nothing_differs() -> None:
    assert update(a_user(), {"name": "Ada ", "locale": "en"}, time_zones=ZONES, now=LATER) == []
    assert update(a_user(), {}, time_zones=ZONES, now=LATER) == []


def test_clearing_returns_to_the_default() -> None:
    [moved] = update(a_user(), {"time_zone": "Europe/Warsaw", "locale": "pl"}, time_zones=ZONES, now=LATER)
    [back] = update(moved.user, {"time_zone": "", "locale": ""}, time_zones=ZONES, now=LATER)
    assert (back.user.time_zone, back.user.locale) == ("UTC", "en")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("time_zone", "Mars/Olympus"),
        ("time_zone", "europe/warsaw"),
        ("time_zone", "../../etc/passwd"),
        ("locale", "polish language"),
        ("locale", "p"),
        ("locale", "en_US"),
        ("locale", "en-"),
        ("email", "other@example.com"),
    ],
)
def test_a_field_cannot_have_a_wrong_value(field: str, value: str) -> None:
    with pytest.raises(InvalidField) as caught:
        update(a_user(), {field: value}, time_zones=ZONES, now=LATER)
    assert caught.value.field == (field if field != "email" else "update_mask")


@pytest.mark.parametrize(
    "tag", ["pl", "pt-BR", "zh-Hant-TW", "es-419", "de-CH-1996", "sr-Latn", "en-u-ca-buddhist", "x-own"]
)
def test_language_tags_are_accepted(tag: str) -> None:
    [event] = update(a_user(), {"locale": tag}, time_zones=ZONES, now=LATER)
    assert event.user.locale == tag


@pytest.mark.parametrize(
    ("if_match", "matches"),
    [('"v1"', True), ("*", True), ('"v0", "v1"', True), ('"v2"', False), ('W/"v1"', False), ("v1", False)],
)
def test_if_match_compares_strongly(if_match: str, matches: bool) -> None:  # noqa: FBT001 (a parameter of the test)
    assert etag_matches(a_user(), if_match) is matches

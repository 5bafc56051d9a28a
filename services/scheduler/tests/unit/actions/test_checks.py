"""What is accepted into a schedule, and what of it is shown."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from rota.scheduler.v1 import schedules_pb2
from rota_chassis.errors import InvalidArgument
from rota_scheduler.actions.checks import check_action
from rota_scheduler.actions.egress import EgressPolicy
from rota_scheduler.actions.secrets import MASK, masked
from rota_scheduler.schedules.messages import action_json

POLICY = EgressPolicy(allow_private=False)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def stored(**members: Any) -> Any:
    return action_json(ParseDict(members, schedules_pb2.Action()))


def http(**fields: Any) -> dict[str, Any]:
    return {"url": "https://example.com/hook", **fields}


def headers(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "value": "x"} for name in names]


REFUSED = {
    "host": (http(headers=headers("Host")), "action.http.headers[0].name"),
    "hop-by-hop": (http(headers=headers("a", "Transfer-Encoding")), "action.http.headers[1].name"),
    "proxy": (http(headers=headers("Proxy-Authorization")), "action.http.headers[0].name"),
    "key": (http(headers=headers("idempotency-key")), "action.http.headers[0].name"),
    "signature": (http(headers=headers("webhook-signature")), "action.http.headers[0].name"),
    "twice": (http(headers=headers("X-A", "x-a")), "action.http.headers[1].name"),
    "two bodies": (http(body=1, text="a"), "action.http.text"),
    "template": (http(body={"at": ["${run.nominal_time", 1]}, template=True), "action.http.body"),
    "unknown": (http(text="of ${run.name}", template=True), "action.http.text"),
    "secret": (http(signing_secret="whsec_no"), "action.http.signing_secret"),
    "masked secret": (http(signing_secret=MASK), "action.http.signing_secret"),
    "masked header": (
        http(headers=[{"name": "authorization", "value": MASK, "sensitive": True}]),
        "action.http.headers[0].value",
    ),
    "backwards": (http(success=["200", "299-200"]), "action.http.success[1]"),
    "not http": ({"url": "ftp://example.com/"}, "action.http.url"),
    "metadata": ({"url": "http://169.254.169.254/"}, "action.http.url"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_call_that_cannot_be_made_is_refused_with_its_field(case: str) -> None:
    call, field = REFUSED[case]
    with pytest.raises(InvalidArgument) as caught:
        check_action(stored(http=call), POLICY)
    assert [violation.field for violation in caught.value.violations] == [field]


def test_a_range_of_retries_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="ends before it begins"):
        check_action(stored(http=http(), retry={"retry_on": ["timeout", "599-500"]}), POLICY)


def test_the_data_of_an_event_are_bounded() -> None:
    check_action(stored(event={"type": "plants.thirsty", "data": {"text": "x" * 60_000}}), POLICY)
    with pytest.raises(InvalidArgument) as caught:
        check_action(stored(event={"type": "plants.thirsty", "data": {"text": "x" * 64_000}}), POLICY)
    assert caught.value.violations[0].field == "action.event.data"


def test_an_action_of_an_earlier_version_is_still_accepted() -> None:
    check_action({"create_task": None, "http": {"method": None, "url": "https://example.com/", "body": None}}, POLICY)


def test_secrets_are_stored_and_not_shown() -> None:
    call = http(
        signing_secret=SECRET,
        headers=[{"name": "a", "value": "hidden", "sensitive": True}, {"name": "b", "value": "plain"}],
    )
    action = stored(http=call)
    shown = masked(action)["http"]
    assert (action["http"]["signing_secret"], shown["signing_secret"]) == (SECRET, MASK)
    assert [header["value"] for header in shown["headers"]] == [MASK, "plain"]
    assert action["http"]["headers"][0]["value"] == "hidden"

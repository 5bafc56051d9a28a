from __future__ import annotations

import asyncio
import statistics
import time

from rota_auth.passwords.hashing import Passwords
from rota_chassis.errors import Unavailable


def cheap(**changes: int) -> Passwords:
    return Passwords(**{"memory_kib": 64, "passes": 1, "threads": 1, **changes})


async def test_a_password_verifies_against_its_own_hash_only() -> None:
    passwords = cheap()
    stored = await passwords.hash("correct horse battery")
    assert stored.startswith("$argon2id$")
    assert await passwords.verify("correct horse battery", stored)
    assert not await passwords.verify("Correct horse battery", stored)


async def test_two_hashes_of_one_password_differ() -> None:
    passwords = cheap()
    assert await passwords.hash("correct horse") != await passwords.hash("correct horse")


async def test_nobody_has_a_password() -> None:
    assert not await cheap().verify("correct horse", None)


async def test_what_is_no_hash_verifies_nothing() -> None:
    assert not await cheap().verify("correct horse", "plain text")


async def test_a_password_is_the_same_however_its_letters_were_composed() -> None:
    passwords = cheap()
    assert await passwords.verify("pa\u0301ssword", await passwords.hash("p\u00e1ssword"))


async def test_a_hash_with_old_parameters_is_to_be_made_anew() -> None:
    old = await cheap().hash("correct horse")
    assert cheap(passes=2).needs_rehash(old)
    assert not cheap().needs_rehash(old)


async def test_beyond_its_bound_it_says_it_is_busy() -> None:
    passwords = cheap(memory_kib=4096, passes=4, waiting=1)
    answers = await asyncio.gather(*(passwords.hash("correct horse") for _ in range(5)), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, Unavailable)]
    assert len(refused) == 3
    assert {error.code for error in refused} == {"PASSWORDS_BUSY"}
    assert await passwords.hash("correct horse")


async def test_an_unknown_user_takes_as_long_as_a_wrong_password() -> None:
    passwords = cheap(memory_kib=8192, passes=3)
    stored = await passwords.hash("correct horse")

    async def seconds(against: str | None) -> float:
        # Of this process: what else the machine does meanwhile does not count.
        started = time.process_time()
        await passwords.verify("wrong horse", against)
        return time.process_time() - started

    known = statistics.median([await seconds(stored) for _ in range(9)])
    unknown = statistics.median([await seconds(None) for _ in range(9)])
    # Wide bounds, for a core that is shared; a look-up alone would take a hundredth.
    assert known / 3 < unknown < known * 3

"""Scalars between JSON and protobuf: what the generated code calls when a value is not plainly right."""

from __future__ import annotations

import base64
import binascii
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rota_chassis.codec.problems import Problems

# Up to here a double holds every integer exactly (RFC 8259, section 6).
_MAX_EXACT_INTEGER = 2**53
_MAX_FLOAT32 = 3.4028234663852886e38


def json_number(number: float) -> float | int:
    """A double as a JSON number; whole ones are written without a fraction while they are exact.

    Raises:
        ValueError: it is not finite.
    """
    if not math.isfinite(number):
        raise ValueError(f"JSON has no number for {number}")
    if number.is_integer() and abs(number) <= _MAX_EXACT_INTEGER and (number or math.copysign(1, number) > 0):
        return int(number)
    return number


def finite(number: float) -> float:
    """The number itself.

    Raises:
        ValueError: it is not finite.
    """
    if not math.isfinite(number):
        raise ValueError(f"JSON has no number for {number}")
    return number


def bytes_text(content: bytes) -> str:
    """Bytes as base64 (RFC 4648, section 4)."""
    return base64.b64encode(content).decode("ascii")


def is_text(value: Any, pointer: str, problems: Problems) -> bool:
    """Whether a value is a string that every part of the system can hold; notes why not."""
    if type(value) is not str:
        problems.add(pointer, "wrong_type", "must be a string")
    elif "\0" in value:
        # PostgreSQL's text cannot hold it.
        problems.add(pointer, "nul_character", "must not contain the character U+0000")
    elif not is_unicode(value):
        problems.add(pointer, "invalid_unicode", "must not contain lone surrogates")
    else:
        return True
    return False


def is_unicode(value: str) -> bool:
    """Whether a string has no lone surrogates, so that UTF-8 can carry it."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_integer(value: Any, low: int, high: int, pointer: str, problems: Problems) -> int | None:
    """A whole number within bounds; 5.0 is one (JSON Schema 2020-12, section 6.1.1), true is not."""
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int:
        detail = "must be a whole number" if type(value) is float else "must be a number"
        problems.add(pointer, "wrong_type", detail)
    elif not low <= value <= high:
        problems.add(pointer, "out_of_range", f"must be within {low} and {high}")
    else:
        return value
    return None


def read_number(value: Any, pointer: str, problems: Problems) -> float | None:
    """A finite double."""
    if type(value) is not float and type(value) is not int:
        problems.add(pointer, "wrong_type", "must be a number")
        return None
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if math.isfinite(number):
        return number
    problems.add(pointer, "out_of_range", "must be a finite number")
    return None


def read_float32(value: Any, pointer: str, problems: Problems) -> float | None:
    """A finite number within the range of single precision."""
    number = read_number(value, pointer, problems)
    if number is not None and abs(number) > _MAX_FLOAT32:
        problems.add(pointer, "out_of_range", "must be within the range of single precision")
        return None
    return number


def read_bool(value: Any, pointer: str, problems: Problems) -> bool | None:
    """True or false."""
    if value is True or value is False:
        return bool(value)
    problems.add(pointer, "wrong_type", "must be true or false")
    return None


def read_bytes(value: Any, pointer: str, problems: Problems) -> bytes | None:
    """Bytes from base64 with padding (RFC 4648, section 4)."""
    if type(value) is not str:
        problems.add(pointer, "wrong_type", "must be a string in base64")
        return None
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        problems.add(pointer, "invalid_base64", "must be base64 with padding (RFC 4648, section 4)")
        return None


def refuse_word(value: Any, words: Mapping[str, int], pointer: str, problems: Problems) -> None:
    """Note that a value is none of an enum's words."""
    if type(value) is str:
        problems.add(pointer, "invalid_enum", one_of(words))
    else:
        problems.add(pointer, "wrong_type", f"must be a string, {one_of(words).removeprefix('must be ')}")


def one_of(words: Mapping[str, int]) -> str:
    """A sentence naming the allowed words."""
    return "must be one of " + ", ".join(f"`{word}`" for word in words)

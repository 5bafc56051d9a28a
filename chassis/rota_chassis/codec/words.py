"""The words that stand for enum values in JSON."""

from __future__ import annotations

import re
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.descriptor import EnumDescriptor

_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@cache
def enum_words(enum: EnumDescriptor) -> Mapping[str, int]:
    """Word -> number of each value but zero, in the order of declaration: TASK_STATUS_IN_PROGRESS is "in_progress".

    Zero means "not set" and is written as null.
    """
    prefix = _WORD_START.sub("_", enum.name).upper() + "_"
    return MappingProxyType(
        {value.name.removeprefix(prefix).lower(): value.number for value in enum.values if value.number != 0}
    )

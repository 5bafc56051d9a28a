"""What brings the data of old events to the shape of today.

The log is never rewritten: it holds what happened in the words of its time, and whoever reads it gets the words of
today. Most changes need nothing here, since an event holds the whole aggregate in a form that bears new members
(absent is the default) and passes over those it does not know. When that would misread an old event, raise the version
of the type in the contract and add a function here that makes the data of the last version that of the new one.

Data is in its JSON form, that of the REST API, and belongs to the function. The payloads in
`chassis/tests/unit/payloads` are of every version there has been, and must be readable for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Data = dict[str, Any]
Upcaster = Callable[[Data], Data]

UPCASTERS: Mapping[str, Sequence[Upcaster]] = {}
"""By type of event: the first makes version 2 of version 1, the second version 3 of version 2, and so on."""

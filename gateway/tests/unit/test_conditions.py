from __future__ import annotations

import pytest
from rota_gateway.conditions import none_match


@pytest.mark.parametrize("header", [b'"1"', b'W/"1"', b'"0", "1"', b'"0","1"', b"*", b' "1" '])
def test_a_tag_that_is_there_does_not_hold(header: bytes) -> None:
    assert not none_match(header, b'"1"')


@pytest.mark.parametrize("header", [b'"2"', b"1", b"", b'"0", "2"', b'W/"2"'])
def test_a_tag_that_is_not_there_holds(header: bytes) -> None:
    assert none_match(header, b'"1"')

from __future__ import annotations

from typing import Any

import pytest
from rota_gateway.openapi import build_document
from rota_gateway.routes import load_routes


@pytest.fixture(scope="session")
def document() -> dict[str, Any]:
    return build_document(load_routes(), version="1.2.3")

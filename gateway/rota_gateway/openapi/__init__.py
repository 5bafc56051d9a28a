"""The OpenAPI 3.1 document of the REST API, built from the descriptors of the contract, and a page that shows it."""

from __future__ import annotations

from rota_gateway.openapi.document import build_document
from rota_gateway.openapi.page import docs_html

__all__ = ["build_document", "docs_html"]

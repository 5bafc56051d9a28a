"""The AsyncAPI 3.0 document: the events on NATS and the frames of the live channels, from the same descriptors."""

from __future__ import annotations

from rota_gateway.asyncapi.document import build_document

__all__ = ["build_document"]

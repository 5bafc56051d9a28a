"""Every call of the contract of tasks, by its name."""

from __future__ import annotations

import importlib
import pkgutil
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import rota.tasks.v1 as contract
from google.protobuf.timestamp_pb2 import Timestamp


@cache
def services() -> dict[str, tuple[Any, Any]]:
    """By the name of a service: what it is, and the module with its stub."""
    found = {}
    for each in pkgutil.iter_modules(contract.__path__):
        if each.name.endswith("_pb2"):
            described = importlib.import_module(f"rota.tasks.v1.{each.name}").DESCRIPTOR.services_by_name
            module = importlib.import_module(f"rota.tasks.v1.{each.name}_grpc")
            found.update({name: (service, module) for name, service in described.items()})
    return found


def methods() -> set[str]:
    """`Service.Method` of each."""
    return {f"{name}.{method.name}" for name, (service, _) in services().items() for method in service.methods}


def stub(service: str, channel: Any) -> Any:
    """A stub of a service."""
    _, module = services()[service]
    return getattr(module, f"{service}Stub")(channel)


def in_days(days: int) -> Timestamp:
    """An instant so many days from now."""
    stamp = Timestamp()
    stamp.FromDatetime(datetime.now(UTC) + timedelta(days=days))
    return stamp

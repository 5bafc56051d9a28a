"""The contract as installed: the generated messages, and the comments of the protos they came from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.resources import files
from typing import TYPE_CHECKING

from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from google.protobuf.descriptor import FileDescriptor

# Field numbers in descriptor.proto, of which the paths of SourceCodeInfo.Location are made.
_FILE_MESSAGE, _FILE_ENUM, _FILE_SERVICE = 4, 5, 6
_MESSAGE_FIELD, _MESSAGE_NESTED, _MESSAGE_ENUM = 2, 3, 4
_ENUM_VALUE = 2
_SERVICE_METHOD = 2


@dataclass(frozen=True, slots=True)
class Contract:
    """Every proto file of Rota.

    Attributes:
        files: the files, sorted by name.
        comments: the leading comment of every message, field, enum, enum value, service and method, by full name;
            the members of an enum by `<enum full name>.<VALUE>`.
    """

    files: tuple[FileDescriptor, ...]
    comments: Mapping[str, str]


@lru_cache(maxsize=1)
def load_contract() -> Contract:
    """Read `rota/descriptors.binpb` and import the generated code of every file below `rota/`.

    Raises:
        FileNotFoundError: the code of the contract has not been generated.
    """
    described = FileDescriptorSet.FromString(files("rota").joinpath("descriptors.binpb").read_bytes())
    own = sorted((file for file in described.file if file.name.startswith("rota/")), key=lambda file: file.name)
    for file in own:
        import_module(file.name.removesuffix(".proto").replace("/", ".") + "_pb2")
    pool = descriptor_pool.Default()
    comments = {name: text for file in own for name, text in _comments(file)}
    return Contract(tuple(pool.FindFileByName(file.name) for file in own), comments)


def _comments(file: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    names = dict(_names(file))
    for location in file.source_code_info.location:
        name = names.get(tuple(location.path))
        if name and location.leading_comments:
            yield name, "\n".join(line.strip() for line in location.leading_comments.strip().splitlines())


def _names(file: FileDescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    for index, message in enumerate(file.message_type):
        yield from _message_names((_FILE_MESSAGE, index), file.package, message)
    for index, enum in enumerate(file.enum_type):
        yield from _enum_names((_FILE_ENUM, index), file.package, enum)
    for index, service in enumerate(file.service):
        yield from _service_names((_FILE_SERVICE, index), file.package, service)


def _message_names(
    path: tuple[int, ...], scope: str, message: DescriptorProto
) -> Iterator[tuple[tuple[int, ...], str]]:
    name = f"{scope}.{message.name}"
    yield path, name
    for index, field in enumerate(message.field):
        yield (*path, _MESSAGE_FIELD, index), f"{name}.{field.name}"
    for index, nested in enumerate(message.nested_type):
        yield from _message_names((*path, _MESSAGE_NESTED, index), name, nested)
    for index, enum in enumerate(message.enum_type):
        yield from _enum_names((*path, _MESSAGE_ENUM, index), name, enum)


def _enum_names(path: tuple[int, ...], scope: str, enum: EnumDescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    name = f"{scope}.{enum.name}"
    yield path, name
    for index, value in enumerate(enum.value):
        yield (*path, _ENUM_VALUE, index), f"{name}.{value.name}"


def _service_names(
    path: tuple[int, ...], scope: str, service: ServiceDescriptorProto
) -> Iterator[tuple[tuple[int, ...], str]]:
    name = f"{scope}.{service.name}"
    yield path, name
    for index, method in enumerate(service.method):
        yield (*path, _SERVICE_METHOD, index), f"{name}.{method.name}"

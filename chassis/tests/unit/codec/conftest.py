"""Every message type of the contract, and one that has every kind of field there is."""

from __future__ import annotations

from importlib import import_module
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import descriptor_pool, duration_pb2, field_mask_pb2, struct_pb2, timestamp_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.message_factory import GetMessageClass

if TYPE_CHECKING:
    from google.protobuf.message import Message

# Number of the type in descriptor.proto, and the full name behind a dot for enums and messages.
Kind = tuple[Any, str]

EVERYTHING = "rota_test.v1.Everything"


def contract_messages() -> list[type[Message]]:
    names = FileDescriptorSet.FromString(files("rota").joinpath("descriptors.binpb").read_bytes()).file
    own = sorted(file.name for file in names if file.name.startswith("rota/"))
    found = []
    for name in own:
        import_module(name.removesuffix(".proto").replace("/", ".") + "_pb2")
        file = descriptor_pool.Default().FindFileByName(name)
        found += [GetMessageClass(message) for message in file.message_types_by_name.values()]
    return found


class EverythingBuilder:
    """Describes a message type with every kind of field."""

    def __init__(self) -> None:
        self.file = FileDescriptorProto(name="rota_test/v1/everything.proto", package="rota_test.v1", syntax="proto3")
        color = self.file.enum_type.add(name="PaintColor")
        for number, name in enumerate(("UNSPECIFIED", "RED", "DARK_BLUE")):
            color.value.add(name=f"PAINT_COLOR_{name}", number=number)
        self.message = self.file.message_type.add(name="Everything")
        self.message.oneof_decl.add(name="choice")

    def add(self, name: str, kind: Kind, *, repeated: bool = False, **options: Any) -> None:
        label = FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
        number = len(self.message.field) + 1
        self.message.field.add(
            name=name, number=number, label=label, type=kind[0], type_name=kind[1] or None, **options
        )

    def add_optional(self, name: str, kind: Kind) -> None:
        index = len(self.message.oneof_decl)
        self.message.oneof_decl.add(name=f"_{name}")
        self.add(name, kind, proto3_optional=True, oneof_index=index)

    def add_map(self, name: str, key: Kind, value: Kind) -> None:
        entry = self.message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
        entry.options.map_entry = True
        for number, (part, kind) in enumerate((("key", key), ("value", value)), 1):
            label = FieldDescriptorProto.LABEL_OPTIONAL
            entry.field.add(name=part, number=number, label=label, type=kind[0], type_name=kind[1] or None)
        self.add(name, (FieldDescriptorProto.TYPE_MESSAGE, f".{EVERYTHING}.{entry.name}"), repeated=True)


def everything() -> type[Message]:
    """A message type with every kind of field.

    Each scalar type stands alone, optional, repeated, in a oneof and as the value of a map, the type itself and the
    well-known types likewise, and there is a map for each type of key.
    """
    builder = EverythingBuilder()
    scalars = {
        name.removeprefix("TYPE_").lower(): (number, "")
        for name, number in FieldDescriptorProto.Type.items()
        if name not in {"TYPE_GROUP", "TYPE_MESSAGE", "TYPE_ENUM"}
    }
    scalars["color"] = (FieldDescriptorProto.TYPE_ENUM, ".rota_test.v1.PaintColor")
    for name, kind in scalars.items():
        builder.add_optional(f"maybe_{name}", kind)
    for name in ("bool", "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "sfixed64"):
        builder.add_map(f"keys_{name}", scalars[name], scalars["string"])
    nested = {name: f".google.protobuf.{name}" for name in ("Duration", "Struct", "ListValue", "Timestamp", "Value")}
    nested["Itself"] = f".{EVERYTHING}"
    messages = {name.lower(): (FieldDescriptorProto.TYPE_MESSAGE, full) for name, full in nested.items()}
    for name, kind in (scalars | messages).items():
        builder.add(f"one_{name}", kind)
        builder.add(f"many_{name}", kind, repeated=True)
        builder.add(f"choose_{name}", kind, oneof_index=0)
        builder.add_map(f"map_{name}", scalars["string"], kind)
    builder.add("one_mask", (FieldDescriptorProto.TYPE_MESSAGE, ".google.protobuf.FieldMask"))
    builder.add("class", scalars["string"])
    pool = descriptor_pool.DescriptorPool()
    for module in (duration_pb2, field_mask_pb2, struct_pb2, timestamp_pb2):
        builder.file.dependency.append(module.DESCRIPTOR.name)
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(builder.file.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName(EVERYTHING))


@pytest.fixture(scope="session")
def everything_class() -> type[Message]:
    return everything()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "message_class" in metafunc.fixturenames:
        classes = [*contract_messages(), everything()]
        metafunc.parametrize("message_class", classes, ids=lambda message: message.DESCRIPTOR.full_name)

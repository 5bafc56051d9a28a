"""Every message type of the contract, and one that has every kind of field there is."""

from __future__ import annotations

from importlib import import_module
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest
from google.protobuf import descriptor_pool, duration_pb2, field_mask_pb2, struct_pb2, timestamp_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.message_factory import GetMessageClass

if TYPE_CHECKING:
    from google.protobuf.message import Message

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


def everything() -> type[Message]:
    """A message type with each scalar type alone, optional, repeated, in a oneof and as the value of a map; itself
    nested alone, repeated and in a map; the well-known types; and each kind of key.
    """
    file = FileDescriptorProto(name="rota_test/v1/everything.proto", package="rota_test.v1", syntax="proto3")
    well_known = (duration_pb2, field_mask_pb2, struct_pb2, timestamp_pb2)
    file.dependency.extend(module.DESCRIPTOR.name for module in well_known)
    color = file.enum_type.add(name="PaintColor")
    for number, name in enumerate(("UNSPECIFIED", "RED", "DARK_BLUE")):
        color.value.add(name=f"PAINT_COLOR_{name}", number=number)
    message = file.message_type.add(name="Everything")
    types = FieldDescriptorProto.Type
    scalars = {
        name.removeprefix("TYPE_").lower(): (number, "")
        for name, number in types.items()
        if name not in {"TYPE_GROUP", "TYPE_MESSAGE", "TYPE_ENUM"}
    }
    scalars["color"] = (types.Value("TYPE_ENUM"), ".rota_test.v1.PaintColor")
    nested = {name: f".google.protobuf.{name}" for name in ("Duration", "Struct", "ListValue", "Timestamp", "Value")}
    nested["Itself"] = f".{EVERYTHING}"
    kinds = {**scalars, **{name.lower(): (types.Value("TYPE_MESSAGE"), full) for name, full in nested.items()}}
    message.oneof_decl.add(name="choice")

    def add(name: str, kind: tuple[int, str], *, repeated: bool = False, **options: object) -> FieldDescriptorProto:
        field = message.field.add(name=name, number=len(message.field) + 1, type=kind[0], **options)
        field.label = types.DESCRIPTOR.containing_type.enum_values_by_name["LABEL_REPEATED"].number if repeated else 1
        if kind[1]:
            field.type_name = kind[1]
        return field

    def add_map(name: str, key: tuple[int, str], value: tuple[int, str]) -> None:
        entry = message.nested_type.add(name="".join(part.capitalize() for part in name.split("_")) + "Entry")
        entry.options.map_entry = True
        for number, (part, kind) in enumerate((("key", key), ("value", value)), 1):
            field = entry.field.add(name=part, number=number, type=kind[0], label=1)
            if kind[1]:
                field.type_name = kind[1]
        add(name, (types.Value("TYPE_MESSAGE"), f".{EVERYTHING}.{entry.name}"), repeated=True)

    for name, kind in kinds.items():
        add(f"one_{name}", kind)
        add(f"many_{name}", kind, repeated=True)
        add(f"choose_{name}", kind, oneof_index=0)
        add_map(f"map_{name}", scalars["string"], kind)
    for name in ("bool", "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "sfixed64"):
        add_map(f"keys_{name}", scalars[name], scalars["string"])
    add("one_mask", (types.Value("TYPE_MESSAGE"), ".google.protobuf.FieldMask"))
    add("class", scalars["string"])
    for name, kind in scalars.items():
        index = len(message.oneof_decl)
        message.oneof_decl.add(name=f"_maybe_{name}")
        add(f"maybe_{name}", kind, proto3_optional=True, oneof_index=index)
    pool = descriptor_pool.DescriptorPool()
    for module in well_known:
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName(EVERYTHING))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "message_class" in metafunc.fixturenames:
        classes = [*contract_messages(), everything()]
        metafunc.parametrize("message_class", classes, ids=lambda message: message.DESCRIPTOR.full_name)

"""Generates the Python code of the contract when the package is installed, so that none of it is kept in git.

Writes, below `gen/`: messages, gRPC stubs and their types for `rota/**` and `buf/validate`, and
`rota/descriptors.binpb`, a FileDescriptorSet of everything with comments, from which the gateway builds its routes
and documents.
"""

from __future__ import annotations

import os
import sys
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from google.protobuf import descriptor_pb2
from grpc_tools import protoc
from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from protovalidate._gen.buf.validate import validate_pb

VALIDATE = "buf/validate/validate.proto"


class ContractBuildHook(BuildHookInterface[Any]):
    """Runs protoc before the wheel, editable or not, is assembled."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 (hatchling's signature)
        """Generate into `gen/`; a protoc error ends the installation with protoc's own message."""
        generate(Path(self.root))


def generate(root: Path) -> None:
    """Generate the code of every proto below `root/rota` into `root/gen`.

    Raises:
        SystemExit: protoc refused a file; it has printed why.
    """
    out = root / "gen"
    out.mkdir(exist_ok=True)
    protos = sorted(str(path.relative_to(root)) for path in root.glob("rota/**/*.proto"))
    with TemporaryDirectory() as scratch:
        validate = Path(scratch) / "validate.binpb"
        validate.write_bytes(_validate_descriptors(Path(scratch)))
        # protoc finds its plugins on PATH; an installer may run this interpreter without its bin folder there.
        os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        sources = [
            f"-I{root}",
            f"-I{_package_dir('google.api').parent.parent}",
            f"-I{_package_dir('grpc_tools') / '_proto'}",
            f"--descriptor_set_in={validate}",
        ]
        _protoc(
            f"-I{_package_dir('google.api').parent.parent}",
            f"--descriptor_set_in={validate}",
            f"--python_out={out}",
            f"--mypy_out=quiet:{out}",
            VALIDATE,
        )
        # protoc takes either source files or descriptor sets, so the sources become a set first.
        everything = out / "rota" / "descriptors.binpb"
        everything.parent.mkdir(parents=True, exist_ok=True)
        _protoc(*sources, f"--descriptor_set_out={everything}", "--include_imports", "--include_source_info", *protos)
        _protoc(
            f"--descriptor_set_in={everything}",
            f"--python_out={out}",
            f"--mypy_out=quiet:{out}",
            f"--grpc_python_out={out}",
            f"--mypy_grpc_out=quiet,only_async:{out}",
            *protos,
        )


def _validate_descriptors(scratch: Path) -> bytes:
    """A FileDescriptorSet of buf/validate/validate.proto, which the protovalidate wheel carries only as code."""
    well_known = scratch / "well_known.binpb"
    _protoc(
        f"-I{_package_dir('grpc_tools') / '_proto'}",
        f"--descriptor_set_out={well_known}",
        "--include_imports",
        "google/protobuf/descriptor.proto",
        "google/protobuf/duration.proto",
        "google/protobuf/field_mask.proto",
        "google/protobuf/struct.proto",
        "google/protobuf/timestamp.proto",
    )
    files = descriptor_pb2.FileDescriptorSet.FromString(well_known.read_bytes())
    files.file.add().MergeFromString(validate_pb.desc().proto.to_binary())
    return files.SerializeToString()


def _package_dir(package: str) -> Path:
    """The folder of an installed package, namespace packages included."""
    return Path(str(resources.files(package).joinpath("x"))).parent


def _protoc(*arguments: str) -> None:
    if protoc.main(["protoc", *arguments]) != 0:
        msg = f"protoc failed: {' '.join(arguments)}"
        raise SystemExit(msg)


if __name__ == "__main__":
    generate(Path(__file__).parent)

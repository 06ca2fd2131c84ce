"""Compiles the messages of src/sampan/buildkit/proto: `python -m tools.proto`; `--check` says which are outdated."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable
from importlib import import_module
from importlib.resources import files
from pathlib import Path

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorSet
from grpc_tools import protoc

ROOT = Path(__file__).parents[1] / "src"
DIRECTORY = "sampan/buildkit/proto"


def compile_to(*outputs: str) -> None:
    """Run protoc over all of them; `outputs` are its flags."""
    sources = sorted(str(path) for path in (ROOT / DIRECTORY).glob("*.proto"))
    status = protoc.main(["protoc", f"-I{ROOT}", f"-I{files('grpc_tools') / '_proto'}", *outputs, *sources])
    if status:
        sys.exit(status)


def outdated() -> list[str]:
    """Those whose compiled form is not that of their source."""
    with tempfile.NamedTemporaryFile() as output:
        compile_to(f"--descriptor_set_out={output.name}")
        found = FileDescriptorSet.FromString(Path(output.name).read_bytes()).file
    for file in found:
        _forget_json_names(file.message_type)
    return [file.name for file in found if _compiled(file.name) != file.SerializeToString()]


def _compiled(name: str) -> bytes:
    module = import_module(f"{name.removesuffix('.proto').replace('/', '.')}_pb2")
    return bytes(module.DESCRIPTOR.serialized_pb)


def _forget_json_names(messages: Iterable[DescriptorProto]) -> None:
    """protoc writes them into a set of descriptors only."""
    for message in messages:
        for field in message.field:
            field.ClearField("json_name")
        _forget_json_names(message.nested_type)


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        sys.exit("\n".join(outdated()) or None)
    compile_to(f"--python_out={ROOT}", f"--pyi_out={ROOT}")

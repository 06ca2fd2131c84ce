"""What a step's result depends on, part by part: the cache key is a digest of these, an explanation compares them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ..cas.threads import run_in_thread
from .graph import Copy, Exec, Files, Vertex
from .layering import source_tree
from .result import Result
from .selecting import digest
from .session import Session

Parts = dict[str, str]
"""`parent`, `instruction`, `env:NAME`, `input:N`, `file:PATH` … to a digest or value."""


async def parts_of(session: Session, vertex: Vertex, inputs: Sequence[Result]) -> Parts:
    """All inputs of a step. Reads the files that copies select."""
    parts: Parts = {"parent": inputs[0].chain_id if inputs else ""}
    match vertex.op:
        case Exec() as operation:
            parts |= _exec_parts(vertex, operation)
            for number, mount in enumerate(operation.mounts):
                if mount.input >= 0:
                    selected = await _selected(session, inputs[mount.input], (mount.source or "/",))
                    parts[f"mount:{number}"] = selected[0]
                    parts |= _file_parts(selected[1], f"mount:{number}:")
        case Files() as operation:
            for number, action in enumerate(operation.actions):
                parts[f"instruction:{number}"] = msgspec.json.encode(action).decode()
                if isinstance(action, Copy):
                    selected = await _selected(session, inputs[action.input], action.sources, action)
                    parts[f"sources:{number}"] = selected[0]
                    parts |= _file_parts(selected[1], "")
        case _:
            parts["instruction"] = vertex.keyed_op.decode()
            parts |= {f"input:{number}": one.chain_id for number, one in enumerate(inputs)}
    if session.epoch is not None:
        parts["SOURCE_DATE_EPOCH"] = str(session.epoch)
    return parts


def _exec_parts(vertex: Vertex, operation: Exec) -> Parts:
    plain = msgspec.structs.replace(operation, env=())
    parts = {"instruction": msgspec.json.encode(plain).decode()}
    for pair in operation.env:
        name, _, value = pair.partition("=")
        if name not in vertex.unkeyed:
            parts[f"env:{name}"] = value
    return parts


def _file_parts(files: dict[str, str], prefix: str) -> Parts:
    """Only contexts of a moderate size are kept file by file."""
    return {f"file:{prefix}{path}": value[:16] for path, value in files.items()} if len(files) <= 5000 else {}


async def _selected(
    session: Session, result: Result, sources: Sequence[str], copy: Copy | None = None
) -> tuple[str, dict[str, str]]:
    exclude, parents = (copy.exclude, copy.parents) if copy is not None else ((), False)
    if result.identity:
        return f"{result.identity} {sources} {exclude}", {}
    async with source_tree(session.engine, result) as tree:
        return await run_in_thread(lambda: digest(tree, sources, exclude, parents=parents))

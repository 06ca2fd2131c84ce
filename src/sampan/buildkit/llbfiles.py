"""File operations of a client's graph: chains of actions upon one tree, which become one layer."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import Final

from google.protobuf.message import DecodeError

from ..build.graph import SCRATCH, Action, Copy, Files, MakeDirectory, MakeFile, MakeLink, Remove, Vertex
from ..errors import InvalidArgument, NotImplementedHere
from .proto import ops_pb2 as pb

_WILDCARDS: Final = frozenset("*?[")


def operation_of(text: bytes) -> pb.Op:
    """One operation of a definition."""
    try:
        return pb.Op.FromString(text)
    except DecodeError as error:
        raise InvalidArgument(f"invalid definition: {error}") from None


def input_at(inputs: Sequence[Vertex], number: int) -> Vertex:
    """An input of an operation by its number."""
    if not 0 <= number < len(inputs):
        raise InvalidArgument(f"invalid definition: an operation has no input {number}")
    return inputs[number]


def file_vertex(operation: pb.FileOp, inputs: Sequence[Vertex]) -> Vertex:
    """Each action stands on the one before; InvalidArgument and NotImplementedHere for all else."""
    if not operation.actions:
        raise InvalidArgument("invalid file operation: it has no action")
    first = operation.actions[0].input
    if first >= len(inputs) or any(
        action.input != len(inputs) + number for number, action in enumerate(operation.actions[1:])
    ):
        raise NotImplementedHere("file actions that do not stand on one another are not supported by this engine")
    if operation.actions[-1].output != 0 or any(action.output > 0 for action in operation.actions):
        raise NotImplementedHere("file operations with several results are not supported by this engine")
    below = inputs[first] if first >= 0 else SCRATCH
    sources = [action.secondaryInput for action in operation.actions if action.WhichOneof("action") == "copy"]
    if any(not 0 <= number < len(inputs) for number in sources):
        raise NotImplementedHere("copies from what another file action made are not supported by this engine")
    used = list(dict.fromkeys(sources))
    actions = [_action(one, used.index(one.secondaryInput) + 1 if one.secondaryInput in used else -1)
               for one in operation.actions]  # fmt: skip
    return Vertex(
        op=Files(tuple(actions)),
        inputs=(below, *(inputs[number] for number in used)),
        name=_name(operation.actions[-1]),
    )


def _action(one: pb.FileAction, number: int) -> Action:
    match one.WhichOneof("action"):
        case "copy":
            return _copy(one.copy, number)
        case "mkfile":
            _dated(one.mkfile.timestamp)
            return MakeFile(
                target=one.mkfile.path, name=posixpath.basename(one.mkfile.path), mode=_mode(one.mkfile.mode),
                data=one.mkfile.data, owner=_owner(one.mkfile.owner),
            )  # fmt: skip
        case "mkdir":
            _dated(one.mkdir.timestamp)
            mode = one.mkdir.mode & 0o7777
            return MakeDirectory(path=one.mkdir.path, mode=mode, owner=_owner(one.mkdir.owner))
        case "symlink":
            _dated(one.symlink.timestamp)
            return MakeLink(path=one.symlink.newpath, target=one.symlink.oldpath, owner=_owner(one.symlink.owner))
        case "rm":
            if one.rm.allowWildcard and _WILDCARDS & set(one.rm.path):
                raise NotImplementedHere("patterns of what is to be removed are not supported by this engine")
            return Remove(path=one.rm.path, required=not one.rm.allowNotFound)
    raise InvalidArgument("invalid file operation: an action of no kind")


def _copy(one: pb.FileActionCopy, number: int) -> Copy:
    _dated(one.timestamp)
    if one.include_patterns or one.alwaysReplaceExistingDestPaths:
        raise NotImplementedHere("copies with include patterns, or that replace directories, are not supported")
    if not one.allowWildcard and _WILDCARDS & set(one.src):
        raise NotImplementedHere(f"copies of names with wildcards in them are not supported: {one.src}")
    return Copy(
        input=number, sources=(one.src,), target=one.dest, owner=_owner(one.owner), mode=one.modeStr or _mode(one.mode),
        unpack=one.attemptUnpackDockerCompatibility, contents_only=one.dirCopyContents,
        exclude=tuple(one.exclude_patterns),
    )  # fmt: skip


def _dated(timestamp: int) -> None:
    """Times that are not left to the builder."""
    if timestamp > 0:
        raise NotImplementedHere("files with a given time are not supported by this engine: SOURCE_DATE_EPOCH is")


def _mode(mode: int) -> str:
    return f"{mode & 0o7777:o}" if mode >= 0 else ""


def _owner(owner: pb.ChownOpt) -> str:
    user, group = _person(owner.user), _person(owner.group)
    return f"{user}:{group}" if group else user


def _person(one: pb.UserOpt) -> str:
    match one.WhichOneof("user"):
        case "byID":
            return str(one.byID)
        case "byName":
            return one.byName.name
    return ""


def _name(last: pb.FileAction) -> str:
    match last.WhichOneof("action"):
        case "copy":
            return f"copy {last.copy.src} {last.copy.dest}"
        case "symlink":
            return f"symlink {last.symlink.oldpath} {last.symlink.newpath}"
        case kind:
            return f"{kind} {getattr(last, kind or 'rm').path}"

"""The graph that a build is: operations on file trees, named by what goes into them.

Equal in meaning to BuildKit's LLB: a vertex is an operation with input vertices; its result is a file tree, that is a
stack of layers. Front ends make graphs, the solver runs them. A vertex is a value: two equal ones are one step.

    image ─┐
    local ─┼─▶ exec ─▶ copy ─▶ …        edges carry file trees
    git  ──┘
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property

import msgspec
from msgspec import Struct, field

from ..oci.platform import Platform


class ImageSource(Struct, frozen=True, tag=True):
    """An image by its normalised reference; its config was resolved by the front end, `digest` pins what it found."""

    reference: str
    platform: Platform
    digest: str = ""


class LocalSource(Struct, frozen=True, tag=True):
    """A directory that the client sends: `context`, or the name of a `--build-context`."""

    name: str


class GitSource(Struct, frozen=True, tag=True):
    """A commit, branch or tag of a repository, or a directory of it; the empty `ref` is the remote's HEAD.

    `checksum` is the commit that it has to be, or its beginning.
    """

    remote: str
    ref: str = ""
    subdir: str = ""
    keep_git_dir: bool = False
    checksum: str = ""


class HttpSource(Struct, frozen=True, tag=True):
    """One file fetched over http(s) as `filename`; `checksum` is a digest or empty."""

    url: str
    filename: str
    checksum: str = ""


class Mount(Struct, frozen=True):
    """What an exec sees at `target`. `input` numbers the vertex's inputs, -1 where there is none.

    `kind` is bind, cache, tmpfs, secret or ssh. Cache mounts are named by `id` and survive the build.
    """

    kind: str
    target: str
    input: int = -1
    source: str = ""
    read_only: bool = False
    id: str = ""
    sharing: str = "shared"
    required: bool = False
    size: int = 0
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    env: str = ""


class Exec(Struct, frozen=True, tag=True, kw_only=True):
    """Run a process in input 0's tree; what it changes there is the result.

    `network` is default, none or host; `security` is sandbox or insecure. `shown_args` are the build arguments that a
    cached result depends on, already in `env` but for the ones that history leaves out.
    """

    args: tuple[str, ...]
    env: tuple[str, ...] = ()
    cwd: str = "/"
    user: str = ""
    mounts: tuple[Mount, ...] = ()
    network: str = "default"
    security: str = "sandbox"


class Copy(Struct, frozen=True, tag=True, kw_only=True):
    """Copy `sources` (patterns) of input `input` to `target`; -1 copies nothing in from elsewhere.

    `owner` is `user[:group]` looked up in the target's tree, or empty for 0:0; `mode` an octal or symbolic mode or
    empty. `unpack` extracts local archives (ADD); `parents` keeps directories; of a directory its contents are copied
    or, without `contents_only`, the directory itself.
    """

    input: int
    sources: tuple[str, ...]
    target: str
    owner: str = ""
    mode: str = ""
    unpack: bool = False
    parents: bool = False
    contents_only: bool = True
    exclude: tuple[str, ...] = ()


class MakeDirectory(Struct, frozen=True, tag=True, kw_only=True):
    """Make a directory and its parents; an existing one stays as it is."""

    path: str
    mode: int = 0o755
    owner: str = ""


class MakeFile(Struct, frozen=True, tag=True, kw_only=True):
    """Write a file; a `target` that ends in `/` is a directory to put `name` into."""

    target: str
    name: str
    data: bytes
    mode: str = ""
    owner: str = ""


class MakeLink(Struct, frozen=True, tag=True, kw_only=True):
    """Make a symbolic link at `path`; what is there already is an error."""

    path: str
    target: str
    owner: str = ""


class Remove(Struct, frozen=True, tag=True, kw_only=True):
    """Remove a path and what is below it; nothing there is fine, unless it is `required`."""

    path: str
    required: bool = False


Action = Copy | MakeDirectory | MakeFile | MakeLink | Remove


class Files(Struct, frozen=True, tag=True):
    """Change input 0's tree by file actions, in order, as one layer."""

    actions: tuple[Action, ...]


class Merge(Struct, frozen=True, tag=True):
    """The layers of all inputs on top of one another."""


class Scratch(Struct, frozen=True, tag=True):
    """The empty tree."""


Operation = ImageSource | LocalSource | GitSource | HttpSource | Exec | Files | Merge | Scratch


class Vertex(Struct, frozen=True, dict=True, eq=False, kw_only=True):
    """One step. `name` is what progress shows; `line` is its place in the Dockerfile, 0 where it has none."""

    op: Operation
    inputs: tuple[Vertex, ...] = ()
    name: str = ""
    stage: str = ""
    line: int = 0
    ignore_cache: bool = False
    unkeyed: tuple[str, ...] = field(default=())
    """Names of environment variables that do not count for the cache (proxies)."""

    @cached_property
    def definition(self) -> str:
        """A digest of the operation and all below it: equal definitions are one step of a build."""
        parts = [msgspec.json.encode(self.op), *(vertex.definition.encode() for vertex in self.inputs)]
        parts.append(b"fresh" if self.ignore_cache else b"")
        return hashlib.sha256(b"\0".join(parts)).hexdigest()

    @cached_property
    def fresh(self) -> bool:
        """Whether it is to run whatever is cached, or stands on a step that is."""
        return self.ignore_cache or any(below.fresh for below in self.inputs)

    @property
    def identity(self) -> tuple[str, str]:
        """Equal steps of several stages are one step that each of them shows as its own."""
        return self.definition, self.stage

    @cached_property
    def keyed_op(self) -> bytes:
        """The operation as it counts for the cache."""
        if isinstance(self.op, Exec) and self.unkeyed:
            env = tuple(pair for pair in self.op.env if pair.partition("=")[0] not in self.unkeyed)
            return msgspec.json.encode(msgspec.structs.replace(self.op, env=env))
        return msgspec.json.encode(self.op)


SCRATCH = Vertex(op=Scratch(), name="scratch")


def walk(top: Vertex) -> Iterator[Vertex]:
    """Every vertex below and including `top`, inputs first, equal ones of a stage once."""
    seen: set[tuple[str, str]] = set()
    stack: list[tuple[Vertex, bool]] = [(top, False)]
    while stack:
        vertex, expanded = stack.pop()
        if vertex.identity in seen:
            continue
        if expanded:
            seen.add(vertex.identity)
            yield vertex
        else:
            stack.append((vertex, True))
            stack.extend((below, False) for below in reversed(vertex.inputs))

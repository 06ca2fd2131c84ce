"""Sources that lie elsewhere: files over http(s), git repositories. Both become directories of the build's own."""

from __future__ import annotations

import asyncio
import os
import re
import stat
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from ..cas.threads import run_in_thread
from ..errors import DataLoss, InvalidArgument, NotFound, SampanError, Unavailable
from ..linux.openat2 import open_in_root
from ..oci import digest as digests
from .filetree import FileTree, Inode, Pack
from .graph import GitSource, HttpSource, Vertex
from .provenance import Material, public
from .result import Result
from .session import Session
from .sourcecache import GIT, HTTP, Source, SourceCache, sources_of

if TYPE_CHECKING:
    import aiohttp

_CHUNK = 1 << 20
_PROTOCOLS = "http:https:git:ssh"
_REMOTE = re.compile(r"^(?:https?|git|ssh)://[^\s\x00-\x1f]+$|^[\w.-]+@[\w.-]+:[^\s\x00-\x1f]+$")
_COMMIT = re.compile(r"^[0-9a-f]{40}(?:[0-9a-f]{24})?$")


async def fetch_file(session: Session, vertex: Vertex, _: Sequence[Result]) -> Result:
    """A tree with the one file of an HttpSource, mode 600, its time from Last-Modified."""
    source = vertex.op
    assert isinstance(source, HttpSource)
    wanted = digests.parse(source.checksum) if source.checksum else ""
    found = await fetch(session, source.url, wanted)
    session.materials.append(Material(public(source.url), "sha256", found.sha256))
    return Result(files=single(source.filename, found))


def single(name: str, inode: Inode) -> FileTree:
    """A tree of one file."""
    tree = FileTree()
    tree.add(name, inode)
    return tree


async def fetch(session: Session, url: str, wanted: str = "") -> Inode:
    """What a URL gives, for as long as the build lasts; DataLoss where it has not the digest that is wanted.

    It is asked for only where nothing with that digest is here, and comes again only where its ETag has changed.
    """
    cache, key = sources_of(session.engine), sha256(f"http {url}".encode()).hexdigest()
    lock = cache.locks.get(key)
    async with lock:
        found = cache.find(key)
        if found is None or f"sha256:{found.digest}" != wanted:
            found = await _newest(session, url, cache, key, found)
        if wanted and f"sha256:{found.digest}" != wanted:
            raise DataLoss(f"digest mismatch sha256:{found.digest}: {wanted}")
        pack = Pack(os.open(found.path, os.O_RDONLY | os.O_CLOEXEC), trusted=False)
    session.stack.callback(pack.close)
    size = os.path.getsize(found.path)
    return Inode(stat.S_IFREG | 0o600, size, found.modified * 1_000_000_000, sha256=found.digest, pack=pack)


async def _newest(session: Session, url: str, cache: SourceCache, key: str, found: Source | None) -> Source:
    path = f"{session.directory()}/fetched"
    came = await download(url, path, found.etag if found is not None else "")
    if came is None and found is not None:
        return found
    assert came is not None
    return await cache.keep(path, HTTP, url, Source(key, cache.place(key), came.etag, came.digest, came.modified))


@dataclass(frozen=True)
class Downloaded:
    """`digest`: sha256 in hex; `modified`: Last-Modified, in seconds since the epoch, 0 where it is not known."""

    digest: str
    etag: str
    modified: int


async def download(url: str, path: str, etag: str = "") -> Downloaded | None:
    """Store what a URL gives; None where it is still what had that ETag. Redirects stay within http and https."""
    import aiohttp  # costs memory until it is needed

    headers = {"If-None-Match": etag} if etag else {}
    try:
        async with aiohttp.ClientSession() as client, client.get(url, headers=headers) as response:
            if response.status == 304 and etag:
                return None
            if response.status != 200:
                raise NotFound(f"failed to load cache key: invalid response status {response.status}")
            digest = await _store(response, path)
            modified = _seconds(response.headers.get("Last-Modified", ""))
            return Downloaded(digest, response.headers.get("ETag", ""), modified)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise Unavailable(f"failed to load cache key: {url}: {error}") from error


async def _store(response: aiohttp.ClientResponse, path: str) -> str:
    hashed = sha256()
    with open(path, "xb") as file:
        async for chunk in response.content.iter_chunked(_CHUNK):
            hashed.update(chunk)
            await run_in_thread(lambda data=chunk: file.write(data))  # type: ignore[misc]  # bound at once
    return hashed.hexdigest()


def _seconds(text: str) -> int:
    try:
        return int(parsedate_to_datetime(text).timestamp()) if text else 0
    except ValueError:
        return 0


async def fetch_repository(session: Session, vertex: Vertex, _: Sequence[Result]) -> Result:
    """The checked-out tree of a GitSource, or the directory of it that was asked for."""
    source = vertex.op
    assert isinstance(source, GitSource)
    path, commit = await checkout(session, source)
    if not commit.startswith(source.checksum):
        raise DataLoss(f"expected checksum to match {source.checksum}, got {commit}")
    ref = f"#{source.ref}" if source.ref else ""
    session.materials.append(Material(public(source.remote) + ref, "sha1", commit))
    return Result(directory=path, identity=f"git {commit} {source.subdir} {source.keep_git_dir}")


async def checkout(session: Session, source: GitSource) -> tuple[str, str]:
    """The path of the part of a repository that was asked for, and the commit; what is here is not fetched again."""
    _check_source(source)
    commit = await _commit_of(session, source)
    if not commit:
        return await clone(session, source)
    text = f"git {source.remote} {commit} {source.keep_git_dir}"
    cache, key = sources_of(session.engine), sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    lock = cache.locks.get(key)
    async with lock:
        session.stack.enter_context(cache.using(key))
        found = cache.find(key)
        if found is None:
            directory, actual = await _fetched(session, source)
            if actual != commit:  # it has moved on since
                return _confined(directory, source.subdir), actual
            found = await cache.keep(directory, GIT, f"{source.remote} {commit}", Source(key, cache.place(key)))
    return _confined(found.path, source.subdir), commit


async def clone(session: Session, source: GitSource) -> tuple[str, str]:
    """Check out a repository into a directory of the session's (S22): the path of the part asked for, the commit."""
    _check_source(source)
    directory, commit = await _fetched(session, source)
    return _confined(directory, source.subdir), commit


def _check_source(source: GitSource) -> None:
    if _REMOTE.match(source.remote) is None:
        raise InvalidArgument(f"invalid git remote {source.remote}: only http(s), git and ssh are fetched")
    if _has_option(source.remote):
        raise InvalidArgument(f"invalid git remote {source.remote}: a part of it would be an option of ssh")
    if source.ref.startswith("-"):
        raise InvalidArgument(f"invalid git ref {source.ref}")


def _has_option(remote: str) -> bool:
    """Whether ssh(1), which git gives user, host and path as arguments, would take one for an option."""
    _, scheme, rest = remote.partition("://")
    authority, _, path = rest.partition("/") if scheme else remote.partition(":")
    user, _, host = unquote(authority).rpartition("@")  # git decodes it too
    return any(part.startswith("-") for part in (user, host.removeprefix("["), "" if scheme else path))


async def _commit_of(session: Session, source: GitSource) -> str:
    """What a ref names now, in the order of gitrevisions(7); empty where the remote lists no such ref."""
    if _COMMIT.match(source.ref):
        return source.ref
    ref = source.ref or "HEAD"
    git = _Git(session.directory(), _environment(session, source.remote))
    listed = [line.split("\t") for line in (await git.run("ls-remote", "--", source.remote)).splitlines()]
    commits = {name: commit for commit, name in listed}
    names = (ref, f"refs/{ref}", f"refs/tags/{ref}", f"refs/heads/{ref}")
    return next((commits[one] for name in names for one in (f"{name}^{{}}", name) if one in commits), "")


async def _fetched(session: Session, source: GitSource) -> tuple[str, str]:
    directory = session.directory()
    git = _Git(directory, _environment(session, source.remote))
    await git.run("init", "-q")
    await git.run("remote", "add", "origin", source.remote)  # submodules' relative URLs start there
    await _checkout(git, source)
    commit = await git.run("rev-parse", "HEAD")
    if not source.keep_git_dir:
        from .removing import remove_tree

        await run_in_thread(lambda: remove_tree(f"{directory}/.git"))
    return directory, commit


async def _checkout(git: _Git, source: GitSource) -> None:
    ref = source.ref or "HEAD"
    try:
        await git.run("fetch", "-q", "--depth=1", "--no-tags", "--", source.remote, ref)
    except SampanError as error:
        if "couldn't find remote ref" in str(error):
            raise NotFound(f'failed to load cache key: repository does not contain ref {ref}, output: ""') from None
        if not _COMMIT.match(ref):
            raise
        # a server that gives no single commits gives branches
        await git.run("fetch", "-q", "--", source.remote, "+refs/heads/*:refs/remotes/origin/*")
        await git.run("update-ref", "FETCH_HEAD", ref)
    await git.run("checkout", "-q", "--detach", "FETCH_HEAD", "--")
    if git.has(".gitmodules"):
        await git.run("submodule", "-q", "update", "--init", "--recursive", "--depth=1")


def _environment(session: Session, remote: str) -> dict[str, str]:
    """Nothing of this machine's configuration; credentials by the environment, for arguments show in ps(1)."""
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/nonexistent", "LC_ALL": "C", "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": _PROTOCOLS, "GIT_ASKPASS": "true",
        "GIT_SSH_COMMAND": "ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=accept-new "
        "-o UserKnownHostsFile=/dev/null -o LogLevel=ERROR",
    }  # fmt: skip
    agent = session.ssh.get("default")
    if agent:
        environment["SSH_AUTH_SOCK"] = agent
    token = session.secrets.get("GIT_AUTH_TOKEN")
    url = urlsplit(remote)
    if token and url.scheme in ("http", "https"):
        basic = b64encode(b"x-access-token:" + token.strip()).decode()
        environment |= {
            "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"http.{url.scheme}://{url.netloc}/.extraHeader",
            "GIT_CONFIG_VALUE_0": f"Authorization: basic {basic}",
        }  # fmt: skip
    return environment


class _Git:
    """git(1) in one directory."""

    def __init__(self, directory: str, environment: dict[str, str]) -> None:
        self._directory = directory
        self._environment = environment

    def has(self, name: str) -> bool:
        return os.path.lexists(f"{self._directory}/{name}")

    async def run(self, *arguments: str) -> str:
        """Run to the end; its output. SampanError with what it said where it fails. Ends with its caller."""
        hooks = ("-c", "core.hooksPath=/dev/null", "-c", "advice.detachedHead=false")
        try:
            process = await asyncio.create_subprocess_exec(
                "git", *hooks, *arguments, cwd=self._directory, env=self._environment, stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, umask=0o022, start_new_session=True,
            )  # fmt: skip
        except FileNotFoundError:
            raise SampanError("git is not installed on the daemon's machine") from None
        try:
            output, said = await process.communicate()
        except BaseException:
            process.kill()
            await process.wait()
            raise
        if process.returncode:
            text = said.decode(errors="replace").strip()
            raise SampanError(f"failed to load cache key: git {arguments[0]}: {text or process.returncode}")
        return output.decode(errors="replace").strip()


def _confined(directory: str, subdir: str) -> str:
    """A directory inside the checkout, wherever its links point."""
    root = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = open_in_root(root, subdir or ".", os.O_PATH)
    except (FileNotFoundError, NotADirectoryError):
        why = f'failed to lstat "{subdir}": statat {subdir}: no such file or directory'
        raise NotFound(f"invalid subdir /{subdir}: {why}") from None
    finally:
        os.close(root)
    try:
        if not stat.S_ISDIR(os.fstat(found).st_mode):
            raise InvalidArgument(f"subdir {subdir} is not a directory")
        return os.readlink(f"/proc/self/fd/{found}")
    finally:
        os.close(found)

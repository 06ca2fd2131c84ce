"""Sources that lie elsewhere: files over http(s), git repositories. Both become directories of the build's own."""

from __future__ import annotations

import asyncio
import os
import re
import stat
from base64 import b64encode
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..errors import DataLoss, InvalidArgument, NotFound, SampanError, Unavailable
from ..linux.openat2 import open_in_root
from ..oci import digest as digests
from .graph import GitSource, HttpSource, Vertex
from .result import Result
from .session import Session

if TYPE_CHECKING:
    import aiohttp

_CHUNK = 1 << 20
_PROTOCOLS = "http:https:git:ssh"
_REMOTE = re.compile(r"^(?:https?|git|ssh)://[^\s\x00-\x1f]+$|^[\w.-]+@[\w.-]+:[^\s\x00-\x1f]+$")
_COMMIT = re.compile(r"^[0-9a-f]{40}(?:[0-9a-f]{24})?$")


async def fetch_file(session: Session, vertex: Vertex, _: Sequence[Result]) -> Result:
    """A directory with the one file of an HttpSource, mode 600, its time from Last-Modified."""
    source = vertex.op
    assert isinstance(source, HttpSource)
    directory = session.directory()
    found = await download(source.url, f"{directory}/{source.filename}")
    if source.checksum and digests.parse(source.checksum) != found:
        raise DataLoss(f"digest mismatch {found}: {source.checksum}")
    return Result(directory=directory)


async def download(url: str, path: str) -> str:
    """Store what a URL gives; returns its digest. Redirects stay within http and https, as aiohttp does them."""
    import aiohttp  # costs memory until it is needed

    try:
        async with aiohttp.ClientSession() as client, client.get(url) as response:
            if response.status != 200:
                raise NotFound(f"failed to load cache key: invalid response status {response.status}")
            digest = await _store(response, path)
            _date(path, response.headers.get("Last-Modified", ""))
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise Unavailable(f"failed to load cache key: {url}: {error}") from error
    return digest


async def _store(response: aiohttp.ClientResponse, path: str) -> str:
    hashed = sha256()
    with open(path, "xb") as file:
        async for chunk in response.content.iter_chunked(_CHUNK):
            hashed.update(chunk)
            await asyncio.to_thread(file.write, chunk)
    os.chmod(path, 0o600)
    return f"sha256:{hashed.hexdigest()}"


def _date(path: str, text: str) -> None:
    try:
        seconds = int(parsedate_to_datetime(text).timestamp()) if text else 0
    except ValueError:
        seconds = 0
    os.utime(path, (seconds, seconds))


async def fetch_repository(session: Session, vertex: Vertex, _: Sequence[Result]) -> Result:
    """The checked-out tree of a GitSource, or the directory of it that was asked for."""
    source = vertex.op
    assert isinstance(source, GitSource)
    path, commit = await clone(session, source)
    return Result(directory=path, identity=f"git {commit} {source.subdir} {source.keep_git_dir}")


async def clone(session: Session, source: GitSource) -> tuple[str, str]:
    """Check out a repository into a directory of the session's (S22): the path of the part asked for, the commit."""
    if _REMOTE.match(source.remote) is None:
        raise InvalidArgument(f"invalid git remote {source.remote}: only http(s), git and ssh are fetched")
    if source.ref.startswith("-"):
        raise InvalidArgument(f"invalid git ref {source.ref}")
    directory = session.directory()
    git = _Git(directory, _environment(session, source.remote))
    await git.run("init", "-q")
    await git.run("remote", "add", "origin", source.remote)  # submodules' relative URLs start there
    await _checkout(git, source)
    commit = await git.run("rev-parse", "HEAD")
    if not source.keep_git_dir:
        from .removing import remove_tree

        await asyncio.to_thread(remove_tree, f"{directory}/.git")
    return _confined(directory, source.subdir), commit


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

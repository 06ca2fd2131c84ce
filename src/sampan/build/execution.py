"""RUN: a process in a tree of its own, under a shim like any container's, with no record of its own.

growing tree ─▶ mounts ─▶ shim ─▶ network ─▶ create, attach, start ─▶ output … exit ─▶ layer
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from ..engine.engine import Engine
from ..engine.parts import cgroup_name, pids_limit
from ..engine.security import seccomp
from ..engine.userns import making
from ..errors import Forbidden, InvalidArgument, SampanError
from ..model.container import ContainerConfig, EndpointSettings, HostConfig
from ..model.idmap import IdMap
from ..network.sandbox import SandboxRequest
from ..runtime import CommandFailed, CreateContainer, Shim, bundle, users
from .graph import Exec, Vertex
from .layering import Growing, growing
from .mounting import StepMounts, ensure_directory
from .progress import StepLog
from .result import Result
from .session import Session
from .stubs import Stubs

HOSTNAME = "buildkitsandbox"
"""What BuildKit calls it; programs that put the host name into their output then give the same as there."""

_PRIVILEGE_NAMESPACES = ("pid", "ipc", "uts", "cgroup", "mount")
_FRAME = struct.Struct(">BxxxI")


class StepFailed(SampanError):
    """A RUN ended with a status other than 0; the text is BuildKit's."""

    def __init__(self, command: str, status: int) -> None:
        super().__init__(f'process "{command}" did not complete successfully: exit code: {status}')
        self.command = command
        self.status = status


async def execute(session: Session, vertex: Vertex, inputs: Sequence[Result]) -> Result:
    """Run a vertex's process; the result is its tree afterwards. StepFailed for a status other than 0."""
    operation = vertex.op
    assert isinstance(operation, Exec)
    _check_entitlements(session, operation)
    async with AsyncExitStack() as stack:
        ids = _ids(session, operation)
        tree = await stack.enter_async_context(growing(session.engine, inputs[0], mapped=ids is not None))
        scratch = stack.enter_context(_Scratch(session.engine))
        mounts = StepMounts(session, inputs, stack, scratch.path, ids)
        await mounts.add_all(operation)
        with Stubs(tree.path, [mount.destination for mount in mounts.mounts]):
            step = _Step(session, vertex, operation, tree, scratch, ids)
            try:
                status = await step.run(mounts)
            except CommandFailed as error:
                session.tell(StepLog(step=vertex.definition, stream=2, text=f"{error}\n"))
                status = error.exit_code
        if status:
            raise StepFailed(" ".join(operation.args), status)
        return await tree.finish(session.epoch)
    raise AssertionError("not reached")


def _ids(session: Session, operation: Exec) -> IdMap | None:
    """The user namespace of a step; what was granted the host's network or privileges is in none."""
    granted = operation.network == "host" or operation.security == "insecure"
    return None if granted else session.engine.config.id_map


def _check_entitlements(session: Session, operation: Exec) -> None:
    """S21: here, where it takes effect, whatever front end the graph came from."""
    granted = session.entitlements & session.engine.config.entitlements
    if operation.network == "host" and "network.host" not in granted:
        raise Forbidden("network.host is not allowed")
    if operation.security == "insecure" and "security.insecure" not in granted:
        raise Forbidden("security.insecure is not allowed")


class _Scratch:
    """A directory of one step below the exec root, which is a tmpfs on a usual machine."""

    def __init__(self, engine: Engine) -> None:
        self.id = secrets.token_hex(32)
        self.path = f"{engine.paths.exec_root}/builds/{self.id}"

    def __enter__(self) -> _Scratch:
        os.makedirs(self.path, mode=0o700)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.path)


class _Step:
    def __init__(
        self, session: Session, vertex: Vertex, operation: Exec, tree: Growing, scratch: _Scratch, ids: IdMap | None
    ) -> None:
        self._session = session
        self._engine = session.engine
        self._vertex = vertex
        self._operation = operation
        self._tree = tree
        self._scratch = scratch
        self._ids = ids

    async def run(self, mounts: StepMounts) -> int:
        """The exit status."""
        with open(f"{self._scratch.path}/cgroup", "w") as file:
            file.write(self._cgroup())  # for a daemon that finds the step orphaned
        parked = self._operation.network != "host" and self._ids is None
        shim = await self._engine.zygote.spawn(self._scratch.id, parked=parked)
        try:
            async with AsyncExitStack() as stack:
                if parked:
                    await stack.enter_async_context(self._network(shim))
                else:
                    self._write_files(None)  # to be bound; the namespace is yet to be made
                output = stack.enter_context(await self._create(shim, bundle.build(self._inputs(mounts))))
                if not parked:
                    await stack.enter_async_context(self._network(shim))
                return await self._process(shim, output)
            raise AssertionError("not reached")
        finally:
            await shim.close()

    @asynccontextmanager
    async def _network(self, shim: Shim) -> AsyncIterator[None]:
        """Join the network that was asked for and write the files that describe it."""
        mode = self._operation.network
        if mode == "host":
            self._write_files(None)
            yield
            return
        name = {"default": "bridge", "": "bridge"}.get(mode, mode)
        netns = await shim.netns()
        request = SandboxRequest(
            self._scratch.id, self._scratch.id[:12], netns, {name: EndpointSettings()}, hostname=HOSTNAME,
            extra_hosts=tuple(self._session.limits.extra_hosts or ()),
        )  # fmt: skip
        try:
            await self._engine.networks.attach(request)
        finally:
            os.close(netns)
        try:
            self._write_files(self._scratch.id)
            yield
        finally:
            await self._engine.networks.detach(self._scratch.id)

    def _write_files(self, sandbox: str | None) -> None:
        if sandbox is None:
            contents = {}
            for name in ("hosts", "resolv.conf"):
                with open(f"/etc/{name}") as file:
                    contents[name] = file.read()
        else:
            files = self._engine.networks.files(sandbox)
            contents = {"hosts": files.hosts, "resolv.conf": files.resolv_conf}
        for name, text in contents.items():
            with open(f"{self._scratch.path}/{name}", "w") as file:
                file.write(text)

    def _inputs(self, mounts: StepMounts) -> bundle.Inputs:
        operation, rootfs = self._operation, self._tree.path
        user = self._user()
        with making(self._ids):
            ensure_directory(rootfs, operation.cwd)
        env = list(operation.env) + mounts.env
        if not any(pair.startswith("HOME=") for pair in env):
            env.append(f"HOME={user.home}")
        namespaces: dict[str, str | None] = dict.fromkeys(_PRIVILEGE_NAMESPACES)
        if operation.network != "host":
            namespaces["network"] = None
        if self._ids is not None:
            namespaces["user"] = None
        etc = [
            bundle.BundleMount(f"/etc/{name}", "bind", f"{self._scratch.path}/{name}", ("rbind", "ro"), self._ids)
            for name in ("hosts", "resolv.conf")
        ]
        return bundle.Inputs(
            container_id=self._scratch.id,
            config=ContainerConfig(env=env, working_dir=operation.cwd, user=operation.user),
            host_config=self._host_config(),
            args=list(operation.args),
            env=env,
            rootfs=rootfs,
            user=user,
            mounts=[*etc, *mounts.mounts],
            hostname=HOSTNAME,
            namespaces=namespaces,
            cgroup=self._cgroup(),
            seccomp=seccomp(self._engine),
            ulimits=list(self._session.limits.ulimits or []),
            pids_limit=pids_limit(self._engine.config, self._engine.kernel),
            id_mappings=self._ids.as_oci() if self._ids else None,
        )

    def _user(self) -> users.User:
        try:
            return users.resolve(self._tree.path, self._operation.user)
        except InvalidArgument as error:
            command = " ".join(self._operation.args)
            raise InvalidArgument(f'process "{command}" did not complete successfully: {error}') from error

    def _cgroup(self) -> str:
        return cgroup_name(self._engine.config, self._session.limits.cgroup_parent, self._scratch.id)

    def _host_config(self) -> HostConfig:
        limits = self._session.limits
        return HostConfig(
            memory=limits.memory, memory_swap=limits.memory_swap, cpu_shares=limits.cpu_shares,
            cpu_period=limits.cpu_period, cpu_quota=limits.cpu_quota, cpuset_cpus=limits.cpuset_cpus,
            cpuset_mems=limits.cpuset_mems, shm_size=limits.shm_size, security_opt=limits.security_opt,
            privileged=self._operation.security == "insecure",
        )  # fmt: skip

    async def _create(self, shim: Shim, document: dict[str, object]) -> socket.socket:
        """The process, which waits for its start → our end of its output."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            with theirs:
                await shim.create(
                    CreateContainer(bundle=self._scratch.path, state_dir=self._scratch.path, cgroup=self._cgroup(),
                                    spec=document)
                )  # fmt: skip
                await shim.attach(theirs, stdin=False, stdout=True, stderr=True)
        except BaseException:
            ours.close()
            raise
        return ours

    async def _process(self, shim: Shim, output: socket.socket) -> int:
        await shim.start()
        await self._read_output(output)
        async for ended in shim.exits:
            if ended.exec_id is None:
                return ended.status
        raise SampanError("the shim of a build step ended before its process")

    async def _read_output(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        buffer = b""
        while data := await loop.sock_recv(sock, 1 << 16):
            buffer += data
            while len(buffer) >= _FRAME.size:
                stream, size = _FRAME.unpack_from(buffer)
                if len(buffer) < _FRAME.size + size:
                    break
                text = buffer[_FRAME.size : _FRAME.size + size].decode(errors="replace")
                buffer = buffer[_FRAME.size + size :]
                self._session.tell(StepLog(step=self._vertex.definition, stream=stream, text=text))

"""Starting processes in containers: the side of the runtime (shim or sampan-runc)."""

from __future__ import annotations

import errno
import os

from ..linux import mount as mnt
from ..linux import namespaces as ns
from ..linux import pidfd as pidfds
from ..linux.cgroup import Cgroup, named
from . import hooks, init, rootfs, seccomp, sysctl
from .channel import Channel, Closed
from .failure import ExecFailed, RuntimeFailed, reason
from .namespaces import DEFAULT, Namespaces, map_ids, spawn, spawn_joined
from .options import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

KILLED = 137


class Parked:
    """A process in fresh namespaces that waits to be told which container it is; owned until `create` takes it."""

    def __init__(self, flags: int, cgroup: str) -> None:
        self.flags = flags
        self.cgroup = Cgroup(cgroup) if cgroup else None
        if self.cgroup:
            self.cgroup.create()
        self.pid, self.pidfd, self.channel = spawn(flags, lambda channel: init.main(channel, cgroup))

    @property
    def netns_fd(self) -> int:
        """A new fd of its network namespace; the caller closes it."""
        return ns.open_namespace(self.pid, ns.CLONE_NEWNET)

    def close(self) -> None:
        """End it: it was not needed."""
        self.channel.close()
        pidfds.send_signal(self.pidfd, 9)
        pidfds.wait(self.pidfd)
        os.close(self.pidfd)
        if self.cgroup:
            self.cgroup.remove()


def park(flags: int = DEFAULT, cgroup: str = "") -> Parked:
    """Clone a child into fresh namespaces ahead of need.

    `cgroup` is a control group for it to enter already; on v1 `create` renames it when both have the same parent group.
    """
    return Parked(flags, cgroup)


class Created:
    """A process that has all of its container and waits for `start` (exec: already runs).

    `console_fd` is the terminal's master side or -1; it and `pidfd` belong to the caller, who also reaps `pid`.
    """

    def __init__(self, pid: int, pidfd: int, channel: Channel) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.console_fd = -1
        self.warnings: list[str] = []
        self._channel = channel

    def start(self) -> None:
        """Let the program run; raises ExecFailed or RuntimeFailed where it cannot."""
        try:
            self._channel.send("start")
            message, _ = self._channel.receive()
        except (Closed, BrokenPipeError):
            return  # close-on-exec: the program runs (or the process was killed, which its exit status tells)
        finally:
            self._channel.close()
        raise_reported(message)

    def abandon(self) -> None:
        """Kill and reap it, and close what `create` opened: something else failed before the start."""
        self._channel.close()
        pidfds.send_signal(self.pidfd, 9)
        pidfds.wait(self.pidfd)
        for fd in (self.pidfd, self.console_fd):
            if fd >= 0:
                os.close(fd)

    def detach(self) -> None:
        """Let go of the channel: another process will start it through the listening socket."""
        self._channel.close()


_INIT = "error during container init: "


def raise_reported(message: dict[str, Any], phase: str = _INIT) -> None:
    """Raise what the container's process reported; `phase` is runc's word for where it was."""
    if "exec" in message:
        number, text = message["exec"]
        raise ExecFailed(number, text, phase)
    if "error" in message:
        raise RuntimeFailed(f"unable to start container process: {phase}{message['error']}")


class Launch:
    """The options of `create` beyond the seam's: for sampan-runc and for the shim's cache.

    `listener`: a listening unix socket on which `start` will come instead of by `Created.start`; `preserved`: fds that
    become 3, 4, … of the program; `cache`: a directory for compiled seccomp filters; `state`: OCI state as JSON text
    with `%PID%` in place of the pid, for hooks.
    """

    __slots__ = ("cache", "container_id", "listener", "preserved", "state")

    def __init__(self, container_id: str = "", *, listener: int = -1, preserved: Sequence[int] = (),
                 cache: str = "", state: str = "") -> None:  # fmt: skip
        self.container_id = container_id
        self.listener = listener
        self.preserved = list(preserved)
        self.cache = cache
        self.state = state


def create(spec: dict[str, Any], bundle: str, *, stdin: int, stdout: int, stderr: int, console: bool,
           cgroup: str = "", parked: Parked | None = None, launch: Launch | None = None) -> Created:  # fmt: skip
    """Make a container of an OCI configuration; its process waits for `start`.

    The fds stay the caller's. With `console` they are not used: the terminal is the three of them. `cgroup` is the
    path of its control group ("" for none). Raises ExecFailed where the program is not to be found, RuntimeFailed
    for everything else that fails; then nothing is left of it.
    """
    launch = launch or Launch()
    wanted = Namespaces(spec.get("linux") or {})
    group = named(cgroup) if cgroup else None
    order: dict[str, Any] = {"close": []}
    into = -1
    try:
        order, fds = _order(
            spec, bundle, group.path if group else "", console, wanted, launch, opened=parked is not None
        )
        if group and not parked and not wanted.needs_intermediate and (into := group.open_new()) >= 0:
            order["close"].append(into)
        pid, pidfd, channel = _spawn(spec, wanted, parked, into)
    except BaseException:
        _close(order["close"])
        if parked:
            parked.close()
        if group and into >= 0:
            group.remove()
        raise
    created = Created(pid, pidfd, channel)
    try:
        resources = (spec.get("linux") or {}).get("resources") or {}
        order["enter"] = "" if group is None or into >= 0 or _begin(group, parked, pid, resources) else group.path
        warnings = _limit(group, resources) if group else []
        _set_oom_score(pid, spec.get("process") or {}, warnings)
        if wanted.new & ns.CLONE_NEWUSER:
            map_ids(pid, spec["linux"])
        order["state"] = launch.state.replace("%PID%", str(pid))
        channel.send(order, [stdin, stdout, stderr, *fds])
        _await_ready(created, spec, order["state"])
        created.warnings = warnings + created.warnings
    except BaseException:
        created.abandon()
        if group and group.exists():
            group.kill()
            group.remove()
        raise
    finally:
        _close(order["close"])
    _discard_held(parked, order["enter"])
    return created


def _order(
    spec: dict[str, Any], bundle: str, cgroup: str, console: bool, wanted: Namespaces, launch: Launch, *, opened: bool
) -> tuple[dict[str, Any], list[int]]:
    """What the child is told and the fds behind its streams; `close` lists those of them that are ours to close."""
    linux = spec.get("linux") or {}
    root = (spec.get("root") or {}).get("path")
    if not root:
        raise RuntimeFailed("the configuration has no root.path")
    sysctl.check(linux.get("sysctl") or {}, wanted)
    path = os.path.realpath(os.path.join(bundle, root))
    if not os.path.isdir(path):
        raise RuntimeFailed(f"invalid rootfs: {path} is not a directory")
    profile = linux.get("seccomp")
    order: dict[str, Any] = {
        "kind": "init", "id": launch.container_id, "spec": {**spec, "linux": {**linux, "seccomp": None}},
        "process": spec.get("process") or {}, "bundle": bundle, "rootfs": path, "cgroup": cgroup, "console": console,
        "bpf": seccomp.compiled(profile, launch.cache) if profile else b"",
        "bpf_flags": seccomp.flags(profile) if profile else 0, "listener": launch.listener >= 0,
        "preserved": len(launch.preserved), "tree": False, "sources": [], "state": "",
    }  # fmt: skip
    # The mount namespace of a parked process is older than the mounts that it is to have, and root of a user
    # namespace need not be able to reach these paths.
    trees = _open_trees(order, spec, bundle, everything=opened or wanted.has(ns.CLONE_NEWUSER))
    order["close"] = trees
    return order, [*([launch.listener] if launch.listener >= 0 else []), *launch.preserved, *trees]


def _open_trees(order: dict[str, Any], spec: dict[str, Any], bundle: str, everything: bool) -> list[int]:
    """The trees that the child cannot open itself: id-mapped ones need the host's /proc and pid namespace."""
    opened = [mnt.clone_tree(order["rootfs"])] if everything else []
    order["tree"] = everything
    try:
        for index, entry in enumerate(spec.get("mounts") or ()):
            options = Options(entry.get("options") or [])
            is_bind = options.flags & mnt.MS_BIND or entry.get("type") == "bind"
            if is_bind and (everything or rootfs.is_mapped(entry, options)):
                opened.append(rootfs.open_source(entry, bundle, options))
                order["sources"].append(index)
    except BaseException:
        _close(opened)
        raise
    return opened


def _spawn(spec: dict[str, Any], wanted: Namespaces, parked: Parked | None, into: int) -> tuple[int, int, Channel]:
    if parked:
        if parked.flags != wanted.new & ~ns.CLONE_NEWCGROUP or wanted.needs_intermediate:
            raise RuntimeFailed("the parked process has other namespaces than the configuration wants")
        if parked.cgroup:
            raise_reported(parked.channel.receive()[0])  # it enters its group by itself: not before it is in, rename it
        return parked.pid, parked.pidfd, parked.channel
    if wanted.needs_intermediate:
        return spawn_joined(wanted, (spec.get("linux") or {}).get("timeOffsets") or {}, init.main)
    return spawn(wanted.new, init.main, into)


def _begin(group: Cgroup, parked: Parked | None, pid: int, resources: dict[str, Any]) -> bool:
    """Make the container's group; whether the process is in it, be it the parked one's under a new name."""
    held = parked.cgroup if parked else None
    if held and held.hierarchy.version == 1 and os.path.dirname(held.path) == os.path.dirname(group.path):
        held.rename(group.path)
        return True
    return group.start(pid, resources)


def _limit(group: Cgroup, resources: dict[str, Any]) -> list[str]:
    try:
        return group.apply(resources)
    except OSError as error:
        step = f"{_INIT}error setting cgroup config for procHooks process"
        raise RuntimeFailed(f"unable to start container process: {step}: {reason(error)}") from error


def _discard_held(parked: Parked | None, entered: str) -> None:
    if parked and parked.cgroup and entered:
        parked.cgroup.remove()


def _set_oom_score(pid: int, process: dict[str, Any], warnings: list[str]) -> None:
    score = process.get("oomScoreAdj")
    if score is None:
        return
    try:
        with open(f"/proc/{pid}/oom_score_adj", "w", encoding="utf-8") as file:
            file.write(str(score))
    except PermissionError:
        warnings.append(f"oom_score_adj could not be set to {score}: CAP_SYS_RESOURCE is missing")


def _await_ready(created: Created, spec: dict[str, Any], state: str, phase: str = _INIT) -> None:
    while True:
        try:
            message, fds = created._channel.receive()
        except Closed:
            raise RuntimeFailed("unable to start container process: the container's process ended early") from None
        raise_reported(message, phase)
        if "console" in message:
            created.console_fd = fds[0]
        elif "hooks" in message:
            for kind in hooks.IN_RUNTIME:
                hooks.run((spec.get("hooks") or {}).get(kind), state)
            created._channel.send("hooks are done")
        else:
            created.warnings = message["ready"]
            return


def exec_process(init_pid: int, spec: dict[str, Any], process: dict[str, Any], *, stdin: int, stdout: int, stderr: int,
                 console: bool, cgroup: str = "", launch: Launch | None = None) -> Created:  # fmt: skip
    """Run another program in a container whose process 1 is `init_pid`; it already runs when this returns.

    `spec` is the container's configuration (its seccomp profile holds for the process too), `process` an OCI process.
    """
    launch = launch or Launch()
    pidfd = os.pidfd_open(init_pid)
    try:
        kinds = ns.differing(init_pid)
        group = named(cgroup) if cgroup else None
        pid, child, channel = _spawn_into(group, init_pid, pidfd, kinds)
        created = Created(pid, child, channel)
        try:
            _set_oom_score(pid, process, created.warnings)
            order = _exec_order(spec, process, kinds, console, launch)
            order["enter"] = group.path if group and group.hierarchy.version == 1 else ""
            channel.send(order, [stdin, stdout, stderr, *launch.preserved, pidfd])
            _await_ready(created, spec, "", phase="")
            created.start()
        except BaseException:
            created.abandon()
            raise
        return created
    finally:
        os.close(pidfd)


def _exec_order(
    spec: dict[str, Any], process: dict[str, Any], kinds: int, console: bool, launch: Launch
) -> dict[str, Any]:
    linux = spec.get("linux") or {}
    profile = linux.get("seccomp")
    return {
        "kind": "exec", "id": launch.container_id, "spec": {"linux": {"personality": linux.get("personality")}},
        "process": process, "console": console, "join": kinds, "listener": False,
        "preserved": len(launch.preserved), "bpf": seccomp.compiled(profile, launch.cache) if profile else b"",
        "bpf_flags": seccomp.flags(profile) if profile else 0,
    }  # fmt: skip


def _spawn_into(group: Cgroup | None, init_pid: int, pidfd: int, kinds: int) -> tuple[int, int, Channel]:
    """A child in the container's pid namespace and, on v2, in its control group."""
    into = group.open() if group else -1
    try:
        return _spawn_in(pidfd, kinds, into)
    except OSError as error:
        if into < 0 or error.errno not in (errno.EBUSY, errno.EOPNOTSUPP):
            raise
        # cgroup-v2.rst, «No Internal Process Constraint»: the container has groups of its own; init is in one of them.
        os.close(into)
        into = Cgroup.of_process(init_pid).open()
        return _spawn_in(pidfd, kinds, into)
    finally:
        if into >= 0:
            os.close(into)


def _spawn_in(pidfd: int, kinds: int, into: int) -> tuple[int, int, Channel]:
    """A child in init's pid namespace; it joins the other namespaces itself.

    setns(2) to a pid namespace holds for children only, so this process stays where it is and goes back right after.
    """
    if not kinds & ns.CLONE_NEWPID:
        return spawn(0, init.main, into)
    own = ns.open_namespace("self", ns.CLONE_NEWPID)
    try:
        ns.setns(pidfd, ns.CLONE_NEWPID)
        try:
            return spawn(0, init.main, into)
        finally:
            ns.setns(own, ns.CLONE_NEWPID)
    finally:
        os.close(own)


def _close(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)

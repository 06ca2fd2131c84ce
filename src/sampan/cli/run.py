"""`sampan run` and `sampan create`."""

from __future__ import annotations

import os
import re
import sys
from contextlib import contextmanager

from sampan.client.containers import container_wait
from sampan.errors import InvalidArgument, NotFound, SampanError

from .command import CommandFailed, at_least, command
from .flags import Options
from .main import RUN_STATUS, describe
from .reference import with_default_tag
from .run_config import create_body
from .run_flags import CONTAINER_FLAGS, RUN_ONLY
from .stream import Streams, detach_keys, proxy_signals
from .terminal import Detached, check_tty, on_resize

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO, Any

    from sampan.client.sync import Client, Hijacked, Pending
    from sampan.client.types import Created, WaitResult

    from .session import Session

NOT_FOUND = ("executable file not found", "no such file or directory", "system cannot find the file specified")
NOT_EXECUTABLE = ("permission denied", "is a directory")
PULL_POLICIES = ("always", "missing", "never", "")
WINDOWS = ("cpu-count", "cpu-percent", "io-maxbandwidth", "io-maxiops")
_PLAIN_NAME = re.compile(r"[a-z0-9]+([._-][a-z0-9]+)*(:[\w.-]+)?")


def status_of(message: str) -> int:
    """127, 126 or 125: daemons tell why a command did not start in words only."""
    if any(words in message for words in NOT_FOUND):
        return 127
    return 126 if any(words in message for words in NOT_EXECUTABLE) else RUN_STATUS


def failure(session: Session, error: SampanError, status: int) -> CommandFailed:
    hint = f"\n\nRun 'sampan {session.name} --help' for more information"
    return CommandFailed(f"sampan: {describe(error)}{hint}", status)


@command(
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Create a new container",
    *CONTAINER_FLAGS,
    arity=at_least(1),
    interspersed=False,
)
def create(session: Session, options: Options, arguments: list[str]) -> int:
    body = request_body(session, options, arguments, detach=False)
    session.say(create_container(session, options, body)["Id"])
    return 0


@command(
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Create and run a new container from an image",
    *CONTAINER_FLAGS,
    *RUN_ONLY,
    arity=at_least(1),
    interspersed=False,
)
def run(session: Session, options: Options, arguments: list[str]) -> int:
    detach = options["detach"]
    if detach and options["attach"]:
        raise CommandFailed("conflicting options: cannot specify both --attach and --detach")
    body = request_body(session, options, arguments, detach)
    check_tty(body["AttachStdin"], body.get("Tty", False))
    created = create_container(session, options, body)
    if detach:
        return _run_detached(session, created["Id"])
    return _Attached(session, options, body, created["Id"]).run()


def request_body(session: Session, options: Options, arguments: list[str], detach: bool) -> dict[str, Any]:
    """The request; a contradiction in the flags is told as the command's own failure."""
    foreign = [name for name in WINDOWS if name in options.changed]
    if foreign:
        reason = "is only supported on a sampan daemon running on windows, but the sampan daemon is running on linux"
        raise CommandFailed("\n".join(f'"--{name}" {reason}' for name in foreign), 1)
    try:
        if options["pull"] not in PULL_POLICIES:
            policies = '"always", "missing" or "never"'
            raise CommandFailed(f"invalid pull option: '{options['pull']}': must be one of {policies}")
        return create_body(options, arguments, detach)
    except CommandFailed as error:
        hint = f"\n\nRun 'sampan {session.name} --help' for more information"
        raise CommandFailed(f"sampan: {error}{hint}", RUN_STATUS) from error


def _run_detached(session: Session, container_id: str) -> int:
    try:
        session.client.container_start(container_id)
    except SampanError as error:
        session.say(container_id)
        raise failure(session, error, status_of(str(error))) from error
    session.say(container_id)
    return 0


class _Attached:
    """`run` in the foreground."""

    def __init__(self, session: Session, options: Options, body: dict[str, Any], container_id: str) -> None:
        self._session, self._options, self._id = session, options, container_id
        self._client: Client = session.client
        self._tty: bool = body.get("Tty", False)
        self._stdin, self._stdout, self._stderr = (
            bool(body[f"Attach{name}"]) for name in ("Stdin", "Stdout", "Stderr")
        )

    def run(self) -> int:
        keys = detach_keys(self._session, self._options["detach-keys"])
        if self._options["sig-proxy"]:
            proxy_signals(self._client, self._id)
        hijacked = self._attach()
        waiting = self._wait()
        self._start(waiting)
        if self._tty and self._stdout:
            on_resize(self._resize)
        if hijacked is not None:
            try:
                Streams(hijacked, stdin=self._stdin, tty=self._tty, keys=keys).run()
            except Detached:
                return 0
        return exit_status(waiting.result())

    def _attach(self) -> Hijacked | None:
        if not (self._stdout or self._stderr):
            self._session.say(self._id)
        if not (self._stdin or self._stdout or self._stderr):
            return None
        sys.stdout.flush()
        return self._client.container_attach(
            self._id,
            stdin=self._stdin,
            stdout=self._stdout,
            stderr=self._stderr,
            detach_keys=self._options["detach-keys"] or self._session.config.text("detachKeys") or None,
        )

    def _wait(self) -> Pending[WaitResult]:
        """Registered before the start, so that no exit is missed."""
        condition = "removed" if self._options["rm"] else "next-exit"
        return self._client.begin(container_wait.build(self._id, condition))

    def _start(self, waiting: Pending[WaitResult]) -> None:
        try:
            self._client.container_start(self._id)
        except SampanError as error:
            if self._options["rm"]:
                waiting.result()
            raise failure(self._session, error, status_of(str(error))) from error

    def _resize(self, rows: int, columns: int) -> None:
        try:
            self._client.clone().container_resize(self._id, rows, columns)
        except SampanError:
            return  # a container that has ended has no size


def exit_status(result: WaitResult) -> int:
    error = result.get("Error")
    if error:
        sys.stderr.write(f"Error waiting for container: {error['Message']}\n")
        return RUN_STATUS
    return result["StatusCode"]


def create_container(session: Session, options: Options, body: dict[str, Any]) -> Created:
    """Create, pulling the image first where the policy says so."""
    with _id_file(session, options["cidfile"]) as id_file:
        _check_names(session, options, body)
        secrets = None
        if options["use-api-socket"]:
            from . import run_socket

            secrets = run_socket.add(session, body)
        created = _create(session, options, body)
        if id_file is not None:
            id_file.write(created["Id"])
    if secrets is not None:
        session.client.container_put_archive(created["Id"], "/", secrets)
    for warning in created.get("Warnings") or ():
        session.warn(f"WARNING: {warning}")
    return created


@contextmanager
def _id_file(session: Session, path: str) -> Iterator[IO[str] | None]:
    """The file for the new container's id; it goes again where nothing was written to it."""
    if not path:
        yield None
        return
    if os.path.exists(path):
        raise refused(session, f"container ID file found, make sure the other container isn't running or delete {path}")
    try:
        file = open(path, "w", encoding="ascii")
    except OSError as error:
        reason = f"open {path}: {(error.strerror or '').lower()}"
        raise refused(session, f"failed to create the container ID file: {reason}") from error
    try:
        with file:
            yield file
    finally:
        if not os.path.getsize(path):
            os.unlink(path)


def _check_names(session: Session, options: Options, body: dict[str, Any]) -> None:
    """The image's and the platform's, as far as they can be judged here."""
    try:
        if not _PLAIN_NAME.fullmatch(body["Image"]):
            from sampan.oci import reference

            reference.parse(body["Image"])
        if options["platform"]:
            from sampan.oci import platform

            platform.parse(options["platform"])
    except InvalidArgument as error:
        wrong = "" if "reference" in str(error) else "error parsing specified platform: "
        raise refused(session, f"{wrong}{error}") from error


def refused(session: Session, text: str) -> CommandFailed:
    """`run` names itself and its help and ends with 125; `create` says what there is to say and ends with 1."""
    if session.name.endswith("create"):
        return CommandFailed(text, 1)
    hint = f"\n\nRun 'sampan {session.name} --help' for more information"
    return CommandFailed(f"sampan: {text}{hint}", RUN_STATUS)


def _create(session: Session, options: Options, body: dict[str, Any]) -> Created:
    name, platform = options["name"] or None, options["platform"] or None
    try:
        if options["pull"] == "always":
            _pull(session, options, body["Image"])
        try:
            return session.client.container_create(body, name, platform)
        except NotFound as error:
            if options["pull"] == "never" or "image" not in str(error).lower():
                raise
        if not options["quiet"]:
            session.warn(f"Unable to find image '{with_default_tag(body['Image'])}' locally")
        _pull(session, options, body["Image"])
        return session.client.container_create(body, name, platform)
    except SampanError as error:
        raise refused(session, describe(error)) from error


def _pull(session: Session, options: Options, image: str) -> None:
    from .pull import pull_image

    try:
        pull_image(session, image, options["platform"], sys.stderr, options["quiet"])
    except CommandFailed as error:
        raise refused(session, str(error)) from error

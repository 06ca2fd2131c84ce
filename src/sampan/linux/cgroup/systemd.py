"""systemd's manager over D-Bus: org.freedesktop.systemd1(5). Units that are named here are transient."""

from __future__ import annotations

import time

from jeepney import DBusAddress, HeaderFields, MatchRule, Message, MessageType, Parser, message_bus, new_method_call
from jeepney.io.blocking import prep_socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Property = tuple[str, tuple[str, Any]]
    """(name, (D-Bus signature, value))"""

SYSTEM_BUS = "/run/dbus/system_bus_socket"
PRIVATE = "/run/systemd/private"
"""systemd's own socket, where no message bus runs; root may use it."""
JOB_SECONDS = 30.0
_MANAGER = DBusAddress("/org/freedesktop/systemd1", "org.freedesktop.systemd1", "org.freedesktop.systemd1.Manager")
_EXISTS = "org.freedesktop.systemd1.UnitExists"
_NO_UNIT = "org.freedesktop.systemd1.NoSuchUnit"


class SystemdFailed(OSError):
    """What systemd answered; `name` is the D-Bus error's, "" where a job failed."""

    def __init__(self, text: str, name: str = "") -> None:
        super().__init__(text)
        self.name = name


class Manager:
    """One connection; `with Manager() as manager: manager.start(…)`. Raises SystemdFailed, OSError, TimeoutError."""

    def __init__(self, bus: str = "", private: str = PRIVATE) -> None:
        self._parser = Parser()
        self._serial = 0
        self._finished: dict[str, str] = {}  # job → result
        self._deadline = time.monotonic() + JOB_SECONDS
        try:
            self._sock = prep_socket(bus or SYSTEM_BUS)
        except (FileNotFoundError, ConnectionRefusedError):
            self._sock = prep_socket(private)
            return
        try:
            self._call(message_bus.Hello())
            rule = MatchRule(type="signal", interface=_MANAGER.interface, member="JobRemoved")
            self._call(message_bus.AddMatch(rule))
        except BaseException:
            self._sock.close()
            raise

    def __enter__(self) -> Manager:
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()

    def start(self, unit: str, properties: list[Property]) -> None:
        """Make a transient unit; returns when its processes are in it. One left of an earlier run is stopped."""
        try:
            self._start(unit, properties)
        except SystemdFailed as error:
            if error.name != _EXISTS:
                raise SystemdFailed(f"unable to start unit {unit!r}: {error}", error.name) from error
            self.stop(unit)
            self._start(unit, properties)

    def _start(self, unit: str, properties: list[Property]) -> None:
        self._job("StartTransientUnit", "ssa(sv)a(sa(sv))", (unit, "replace", properties, []))

    def stop(self, unit: str) -> None:
        """Stop a unit and forget that it failed; nothing where there is none."""
        for method, signature, arguments in (("StopUnit", "ss", (unit, "replace")), ("ResetFailedUnit", "s", (unit,))):
            try:
                self._job(method, signature, arguments)
            except SystemdFailed as error:
                if error.name != _NO_UNIT:
                    raise

    def set_properties(self, unit: str, properties: list[Property]) -> None:
        """Change a unit until the next boot, so that a reload of systemd keeps what is written to the control files."""
        self._call(new_method_call(_MANAGER, "SetUnitProperties", "sba(sv)", (unit, True, properties)))

    def _job(self, method: str, signature: str, arguments: tuple[Any, ...]) -> None:
        answer = self._call(new_method_call(_MANAGER, method, signature, arguments))
        if not answer:
            return
        (job,) = answer
        while job not in self._finished:
            self._receive()
        if self._finished[job] != "done":
            raise SystemdFailed(f"{method}: job is {self._finished[job]}")

    def _call(self, message: Message) -> tuple[Any, ...]:
        self._serial += 1
        serial = self._serial
        self._sock.sendall(message.serialise(serial))
        while True:
            answer = self._receive()
            if answer.header.fields.get(HeaderFields.reply_serial) != serial:
                continue
            body: tuple[Any, ...] = answer.body
            if answer.header.message_type is MessageType.error:
                name = str(answer.header.fields.get(HeaderFields.error_name))
                raise SystemdFailed(str(body[0]) if body else name, name)
            return body

    def _receive(self) -> Message:
        """The next message; ends of jobs are noted, which may come before the answer that names the job."""
        while (message := self._parser.get_next_message()) is None:
            self._sock.settimeout(max(0.001, self._deadline - time.monotonic()))
            data = self._sock.recv(65536)
            if not data:
                raise ConnectionResetError("systemd closed the connection")
            self._parser.add_data(data)
        if message.header.fields.get(HeaderFields.member) == "JobRemoved":
            _, job, _, result = message.body
            self._finished[job] = result
        return message

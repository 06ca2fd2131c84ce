"""A fake of systemd's manager on D-Bus, for one connection after the other: it notes what it is asked."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

from jeepney import HeaderFields, Message, MessageType, Parser, new_error, new_method_return, new_signal
from jeepney.wrappers import DBusAddress

MANAGER = DBusAddress("/org/freedesktop/systemd1", interface="org.freedesktop.systemd1.Manager")
SYSTEMD = "org.freedesktop.systemd1"


class Systemd:
    """`units` are those that run; `calls` is (method, arguments) in order; a unit in `failing` does not start."""

    def __init__(self, path: Path, private: bool = False) -> None:
        self.private = private
        self.units: set[str] = set()
        self.failing: set[str] = set()
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._serial = 0
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def __enter__(self) -> Systemd:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # closed
            with connection:
                self._authenticate(connection)
                self._converse(connection)

    def _authenticate(self, connection: socket.socket) -> None:
        # D-Bus specification, «Authentication Protocol»; the first octet is a zero.
        said = b""
        while not said.endswith(b"\r\n"):
            said += connection.recv(1)
        assert said.startswith(b"\0AUTH EXTERNAL"), said
        connection.sendall(b"OK 0123456789abcdef0123456789abcdef\r\n")
        said = b""
        while not said.endswith(b"BEGIN\r\n"):
            said += connection.recv(1)

    def _converse(self, connection: socket.socket) -> None:
        parser = Parser()
        while data := connection.recv(65536):
            parser.add_data(data)
            while (message := parser.get_next_message()) is not None:
                for answer in self._answer(message):
                    self._serial += 1
                    connection.sendall(answer.serialise(self._serial))

    def _answer(self, message: Message) -> list[Message]:
        assert message.header.message_type is MessageType.method_call
        method, body = message.header.fields[HeaderFields.member], message.body
        if method in ("Hello", "AddMatch"):
            assert not self.private, f"{method} on systemd's own socket"
            return [new_method_return(message, "s", (":1.1",)) if method == "Hello" else new_method_return(message)]
        self.calls.append((method, body))
        return getattr(self, f"_{method}")(message, *body)

    def _StartTransientUnit(self, message: Message, unit: str, *_: Any) -> list[Message]:
        if unit in self.units:
            text = f"Unit {unit} was already loaded or has a fragment file."
            return [new_error(message, f"{SYSTEMD}.UnitExists", "s", (text,))]
        self.units.add(unit)
        return self._job(message, unit, "failed" if unit in self.failing else "done")

    def _StopUnit(self, message: Message, unit: str, *_: Any) -> list[Message]:
        if unit not in self.units:
            return [new_error(message, f"{SYSTEMD}.NoSuchUnit", "s", (f"Unit {unit} not loaded.",))]
        self.units.remove(unit)
        return self._job(message, unit, "done")

    def _ResetFailedUnit(self, message: Message, unit: str) -> list[Message]:
        return [new_error(message, f"{SYSTEMD}.NoSuchUnit", "s", (f"Unit {unit} not loaded.",))]

    def _SetUnitProperties(self, message: Message, *_: Any) -> list[Message]:
        return [new_method_return(message)]

    def _job(self, message: Message, unit: str, result: str) -> list[Message]:
        """The end of a job is told before the answer that names it, which a client must bear."""
        job = f"/org/freedesktop/systemd1/job/{len(self.calls)}"
        ended = new_signal(MANAGER, "JobRemoved", "uoss", (len(self.calls), job, unit, result))
        return [ended, new_method_return(message, "o", (job,))]

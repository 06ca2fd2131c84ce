"""The `sampan-runc` command: runc's command line over ocirun."""

from __future__ import annotations

import gc
import os
import sys

from ..linux import sealed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from .arguments import Arguments

# Command → module and function; only what is asked for is imported.
_COMMANDS = {
    "create": ("lifecycle", "create"),
    "start": ("lifecycle", "start"),
    "run": ("lifecycle", "run"),
    "exec": ("lifecycle", "exec_"),
    "kill": ("lifecycle", "kill"),
    "delete": ("lifecycle", "delete"),
    "state": ("inspection", "state"),
    "list": ("inspection", "list_"),
    "ps": ("inspection", "ps"),
    "pause": ("inspection", "pause"),
    "resume": ("inspection", "resume"),
    "update": ("inspection", "update"),
    "events": ("inspection", "events"),
    "spec": ("inspection", "spec"),
    "features": ("inspection", "features"),
}
_ENTERS_CONTAINER = ("create", "run", "exec")
_USAGE = """\
sampan-runc - an OCI runtime with runc's command line

usage: sampan-runc [--root DIR] [--log FILE] [--log-format text|json] [--debug] [--systemd-cgroup] COMMAND …

commands: """


class Globals:
    """Options before the command."""

    def __init__(self, arguments: Arguments) -> None:
        from .state import DEFAULT_ROOT

        self.root = os.path.abspath(arguments.value("root") or DEFAULT_ROOT)
        self.log = arguments.value("log")
        self.json = arguments.value("log-format", "text") == "json"
        self.debug = arguments.flag("debug")
        self.systemd = arguments.flag("systemd-cgroup")

    def warn(self, messages: list[str]) -> None:
        """Log what did not work out but is no failure."""
        for message in messages:
            self.write("warning", message)

    def write(self, level: str, message: str) -> None:
        """One log line; without a log file it goes to stderr when it matters."""
        import time

        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if self.json:
            import json

            line = json.dumps({"level": level, "msg": message, "time": stamp}, separators=(",", ":"))
        else:
            text = message.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
            line = f'time="{stamp}" level={level} msg="{text}"'
        if not self.log:
            if level == "error" or self.debug:
                sys.stderr.write(line + "\n")
            return
        with open(self.log, "a", encoding="utf-8") as file:
            file.write(line + "\n")
        if level == "error":
            sys.stderr.write(message + "\n")


def main() -> NoReturn:
    """Run one command; exits with its status, 1 for a failure."""
    gc.disable()  # a short life leaves less garbage than looking for it costs
    if any(word in _ENTERS_CONTAINER for word in sys.argv[1:]):
        # -I -S: as a script of its own, without site and its search for packages.
        sealed.ensure(["-I", "-S", f"{os.path.dirname(os.path.abspath(__file__))}/__main__.py", *sys.argv[1:]])
    status = _main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # taking the interpreter apart would be another 3 ms


def _main(words: list[str]) -> int:
    from .arguments import FLAG, VALUE, parse, table

    known = table(
        (VALUE, ("root", "log", "log-format", "criu", "rootless")),
        (FLAG, ("debug", "systemd-cgroup", "help", "version")),
    )
    from .arguments import Incorrect

    try:
        arguments = parse(words, known, {"h": "help", "v": "version"})
    except Incorrect as error:
        sys.stderr.write(f"Incorrect Usage: {error}\n")
        return 1
    if arguments.flag("version"):
        return _version()
    if arguments.flag("help") or not arguments.rest or arguments.rest[0] in ("help", "h"):
        sys.stdout.write(_USAGE + ", ".join(_COMMANDS) + "\n")
        return 0
    return _dispatch(Globals(arguments), arguments.rest[0], arguments.rest[1:])


def _version() -> int:
    from .. import __version__
    from .state import OCI_VERSION

    sys.stdout.write(f"sampan-runc version {__version__}\nspec: {OCI_VERSION}\n")
    return 0


def _dispatch(options: Globals, name: str, words: list[str]) -> int:
    from .arguments import Incorrect
    from .failure import RuntimeFailed

    if name not in _COMMANDS:
        options.write("error", f"No help topic for '{name}'")
        return 3
    command = _command(name)
    try:
        return command(options, words)
    except Incorrect as error:
        sys.stdout.write(f"Incorrect Usage.\n\nUSAGE:\n   sampan-runc {command.__doc__}\n")
        options.write("error", str(error))
        return 1
    except RuntimeFailed as error:
        prefix = f"runc {name} failed: " if name in ("create", "run") else ""
        options.write("error", f"{prefix}{error}")
        return error.exit_code if name == "exec" else 1
    except (OSError, ValueError) as error:
        options.write("error", str(error))
        return 1


def _command(name: str) -> Callable[[Globals, list[str]], int]:
    module, function = _COMMANDS[name]
    # __import__ and not importlib, which is another millisecond.
    found = __import__(f"{__package__}.{module}", fromlist=[function])
    command: Callable[[Globals, list[str]], int] = getattr(found, function)
    return command

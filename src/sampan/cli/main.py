"""The `sampan` command: global flags, finding the command, turning failures into Docker's words and exit codes."""

from __future__ import annotations

import os
import sys

from sampan.client.origin import from_daemon
from sampan.errors import SampanError

from . import tree
from .command import ArityError, Command, CommandFailed
from .flags import FlagError, Parser, boolean, string
from .session import GlobalOptions, Session

HELP = boolean("help", "Print usage", hidden=True)
GLOBAL_FLAGS = (
    string("config", 'Location of client config files (default "~/.docker")'),
    string(
        "context",
        "Name of the context to use to connect to the daemon (overrides DOCKER_HOST env var and default context "
        'set with "sampan context use")',
        short="c",
    ),
    boolean("debug", "Enable debug mode", short="D"),
    string("host", "Daemon socket to connect to", short="H"),
    string("log-level", 'Set the logging level ("debug", "info", "warn", "error", "fatal")', short="l", default="info"),
    boolean("tls", "Use TLS; implied by --tlsverify"),
    string("tlscacert", 'Trust certs signed only by this CA (default "~/.docker/ca.pem")'),
    string("tlscert", 'Path to TLS certificate file (default "~/.docker/cert.pem")'),
    string("tlskey", 'Path to TLS key file (default "~/.docker/key.pem")'),
    boolean("tlsverify", "Use TLS and verify the remote"),
    boolean("version", "Print version information and quit", short="v"),
)
RUN_STATUS = 125
"""`run` and `create` end with this when the failure is the engine's (docker run, "Exit status")."""


def main(argv: list[str] | None = None) -> int:
    words = sys.argv[1:] if argv is None else argv
    try:
        status = dispatch(words)
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        # The reader of our output went away: end as a program that SIGPIPE kills.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        status = 128 + 13
    except KeyboardInterrupt:
        status = 130
    return status


def dispatch(words: list[str]) -> int:
    try:
        options, rest = Parser((*GLOBAL_FLAGS, HELP), interspersed=False).parse(words)
    except FlagError as error:
        return complain(f"{error}\n\nUsage:  sampan [OPTIONS] COMMAND\n\nRun 'sampan --help' for more information", 125)
    if options["version"]:
        return print_version()
    if not rest or options["help"] or rest == ["help"]:
        from . import overview

        return overview.top(rest)
    if rest[0] == "help":
        rest = [*rest[1:], "--help"]
    if rest[0] == "__complete":
        from .completion import complete

        return complete(GlobalOptions(options), rest[1:])
    return run_named(GlobalOptions(options), rest)


def print_version() -> int:
    from sampan import __version__

    sys.stdout.write(f"Sampan version {__version__}\n")
    return 0


def run_named(options: GlobalOptions, words: list[str]) -> int:
    found = tree.find(words)
    if found is None:
        from . import overview

        return overview.group_or_unknown(words)
    name, entry, rest = found
    session = Session(options, name)
    try:
        return run_command(session, name, tree.load(entry), rest)
    finally:
        session.close()


def run_command(session: Session, name: str, command: Command, words: list[str]) -> int:
    try:
        options, arguments = Parser((HELP, *command.flags), command.interspersed).parse(words)
        if options["help"]:
            return print_help(name, command)
        command.arity.verify(len(arguments))
        return command.run(session, options, arguments) or 0
    except FlagError as error:
        return complain(f"{error}\n\n{command.use_line(name)}\n\nRun 'sampan {name} --help' for more information", 125)
    except ArityError as error:
        verb = "See" if str(error).startswith("requires at least") and "most" not in str(error) else "Run"
        text = f"sampan: 'sampan {name}' {error}\n\n{command.use_line(name)}"
        return complain(f"{text}\n\n{verb} 'sampan {name} --help' for more information", 1)
    except SampanError as error:
        return complain(describe(error), 1)
    except CommandFailed as error:
        return complain(str(error), error.status)


def print_help(name: str, command: Command) -> int:
    from . import usage

    sys.stdout.write(usage.command_help(name, command, tree.aliases(name)) + "\n")
    return 0


def describe(error: SampanError) -> str:
    return f"Error response from daemon: {error}" if from_daemon(error) else str(error)


def complain(text: str, status: int) -> int:
    sys.stdout.flush()
    if text:
        sys.stderr.write(text + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main())

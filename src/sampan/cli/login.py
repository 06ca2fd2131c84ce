"""`login` and `logout`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from . import credentials
from .command import CommandFailed, at_most, command
from .flags import Options, boolean, string
from .terminal import is_terminal

if TYPE_CHECKING:
    from .session import Session

UNSAFE = (
    "\nWARNING! Your credentials are stored unencrypted in '{}'.\nConfigure a credential helper to remove this "
    "warning. See\nhttps://docs.docker.com/go/credential-store/\n"
)


def server_of(arguments: list[str]) -> str:
    return credentials.server_key(arguments[0].removeprefix("https://").rstrip("/") if arguments else "docker.io")


@command(
    "[OPTIONS] [SERVER]",
    "Authenticate to a registry.\nDefaults to Docker Hub if no server is specified.",
    string("password", "Password or Personal Access Token (PAT)", short="p"),
    boolean("password-stdin", "Take the Password or Personal Access Token (PAT) from stdin"),
    string("username", "Username", short="u"),
    arity=at_most(1),
)
def login(session: Session, options: Options, arguments: list[str]) -> int:
    server = server_of(arguments)
    auth = _ask(session, options, server)
    answer = session.client.login(auth)
    if answer.get("IdentityToken"):
        auth = {**auth, "password": "", "identitytoken": answer["IdentityToken"]}
    credentials.store(session.config, server, auth)
    if not credentials.helper_of(session.config, server):
        session.warn(UNSAFE.format(session.config.path))
    session.say(answer.get("Status", "Login Succeeded"))
    return 0


def _ask(session: Session, options: Options, server: str) -> dict[str, str]:
    """From the flags, standard input, what is stored, or the keyboard, in this order."""
    user, password = options["username"], options["password"]
    if options["password-stdin"]:
        if password:
            raise CommandFailed("--password and --password-stdin are mutually exclusive")
        if not user:
            raise CommandFailed("Must provide --username with --password-stdin")
        password = sys.stdin.read().rstrip("\r\n")
    elif password:
        session.warn("WARNING! Using --password via the CLI is insecure. Use --password-stdin.")
    if not user and not password:
        stored = credentials.load(session.config, server)
        if stored:
            session.say("Authenticating with existing credentials...")
            return stored
    return {"username": user or _prompt_user(), "password": password or _prompt_password(), "serveraddress": server}


def _prompt_user() -> str:
    _need_terminal()
    sys.stdout.write("Username: ")
    sys.stdout.flush()
    user = sys.stdin.readline().strip()
    if not user:
        raise CommandFailed("error: username is required")
    return user


def _prompt_password() -> str:
    import getpass

    _need_terminal()
    password = getpass.getpass("Password: ")
    if not password:
        raise CommandFailed("error: password is required")
    return password


def _need_terminal() -> None:
    if not is_terminal(0):
        raise CommandFailed("Error: Cannot perform an interactive login from a non TTY device")


@command(
    "[SERVER]",
    "Log out from a registry.\nIf no server is specified, the default is defined by the daemon.",
    arity=at_most(1),
)
def logout(session: Session, options: Options, arguments: list[str]) -> int:
    server = server_of(arguments)
    known = credentials.erase(session.config, server)
    session.say(f"Removing login credentials for {server}" if known else f"Not logged in to {server}")
    return 0

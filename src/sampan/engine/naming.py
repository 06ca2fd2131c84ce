"""Container ids and names; where the user gives no name: adjective_surname."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable

from ..errors import InvalidArgument

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_ID = re.compile("[0-9a-f]{64}")
_SAID = "[a-zA-Z0-9][a-zA-Z0-9_.-]"

_ADJECTIVES = """
able agile amber ample arctic astute avid azure balmy bold brave breezy bright brisk calm candid clever cosy
crisp dapper daring deft eager earnest easy fair fleet fond frank fresh gentle giddy glad golden grand hardy
hearty humble jaunty jolly keen kind lively lucid lucky mellow merry mighty mild modest neat nimble noble
patient placid plucky polite prime proud quick quiet rapid ready robust rosy sage serene sharp silent sleek
smart snug sober solid spry stable steady stout sunny sure swift tidy tranquil trim true trusty upbeat valiant
vivid warm wise witty young zesty
"""
ADJECTIVES = tuple(_ADJECTIVES.split())
"""Moods and manners."""

_SURNAMES = """
amundsen anson baffin bering blake bligh boyle burnell cabot carson chandra cook curie dalton darwin davis diaz
drake earhart einstein elcano euler faraday fermi flinders franklin frobisher galilei gama gauss germain halley
hamilton hawking henson herschel hertz hopper hubble hudson humboldt huygens ibnbattuta jansz kepler
kovalevskaya lagrange laplace leavitt lovelace magellan maury maxwell meitner mercator nansen newton noether ohm
park pascal peary planck polo raleigh ritchie ross rutherford scott shackleton somerville tasman tesla torres
turing vancouver vespucci volta wallis watt weddell wu yonge zenghe
"""
SURNAMES = tuple(_SURNAMES.split())
"""Seafarers and scientists."""


def new_id() -> str:
    """64 hex digits; the first twelve, a default host name, are never all decimal: such a name would be a number."""
    while True:
        identity = os.urandom(32).hex()
        if not identity[:12].isdecimal():
            return identity


def is_id(text: str) -> bool:
    """Whether a text is a full id, as containers and build steps have it."""
    return _ID.fullmatch(text) is not None


def check_name(name: str) -> str:
    """The name without a leading slash; InvalidArgument in Docker's words."""
    bare = name.removeprefix("/")
    if not NAME.fullmatch(bare):
        raise InvalidArgument(f"Invalid container name ({name}), only {_SAID} are allowed")
    return bare


def generate(taken: Callable[[str], bool]) -> str:
    """A free adjective_surname; a digit is appended when the first few draws are taken."""
    for attempt in range(1000):
        name = f"{random.choice(ADJECTIVES)}_{random.choice(SURNAMES)}"
        if attempt > 5:
            name += str(random.randrange(10 ** (1 + attempt // 50)))
        if not taken(name):
            return name
    return new_id()[:24]

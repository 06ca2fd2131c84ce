"""Which files of a directory belong to a build context: all but what `.dockerignore` names."""

from __future__ import annotations

import os
from collections.abc import Iterator

from sampan.dockerfile.ignore import IgnoreRules, read_patterns

IGNORE_FILE = ".dockerignore"


def ignore_rules(directory: str, dockerfile: str) -> IgnoreRules:
    """`<Dockerfile>.dockerignore` wins over the context's; the Dockerfile and the ignore file are always sent."""
    for path in (os.path.join(directory, f"{dockerfile}.dockerignore"), os.path.join(directory, IGNORE_FILE)):
        if os.path.isfile(path):
            with open(path, encoding="utf-8-sig") as file:
                patterns = read_patterns(file.read())
            return IgnoreRules([*patterns, f"!{dockerfile}", f"!{IGNORE_FILE}"] if patterns else [])
    return IgnoreRules([])


def entries(directory: str, rules: IgnoreRules) -> Iterator[str]:
    """Relative paths in a stable order. An ignored directory is still walked where an exception could lie in it."""
    for current, names, files in os.walk(directory):
        base = os.path.relpath(current, directory)
        prefix = "" if base == "." else base + "/"
        names.sort()
        for name in sorted([*names, *files]):
            path = prefix + name
            if not rules.matches(path):
                yield path
        names[:] = [name for name in names if rules.has_exceptions or not rules.matches(prefix + name)]

"""`system check`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .command import NONE, command
from .flags import Options, boolean

if TYPE_CHECKING:
    from .session import Session


@command(
    "[OPTIONS]",
    "Look for stray, missing and damaged blobs and layers",
    boolean("quick", "Do not read every blob"),
    boolean("repair", "Mend what can be mended"),
    arity=NONE,
)
def check(session: Session, options: Options, arguments: list[str]) -> int:
    problems = session.client.system_check(options["repair"], not options["quick"])["Problems"]
    for item in problems:
        state = " (repaired)" if item["Repaired"] else ""
        session.say(f"{item['What']:<8} {item['Key']}  {item['Detail']}{state}")
    session.say(f"{len(problems)} problems")
    return 1 if any(not item["Repaired"] for item in problems) else 0

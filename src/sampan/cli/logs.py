"""`logs`."""

from __future__ import annotations

from sampan.rpc.frames import Demultiplexer

from .command import command, exactly
from .flags import Options, boolean, string
from .terminal import write_all
from .timestamps import api_timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .session import Session

SINCE = '{} timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)'


@command(
    "[OPTIONS] CONTAINER",
    "Fetch the logs of a container",
    boolean("details", "Show extra details provided to logs"),
    boolean("follow", "Follow log output", short="f"),
    string("since", SINCE.format("Show logs since")),
    string("tail", "Number of lines to show from the end of the logs", short="n", default="all"),
    boolean("timestamps", "Show timestamps", short="t"),
    string("until", SINCE.format("Show logs before a")),
    arity=exactly(1),
)
def logs(session: Session, options: Options, arguments: list[str]) -> int:
    client = session.client
    found = client.container_inspect(arguments[0])
    chunks = client.container_logs(
        found["Id"],
        follow=options["follow"],
        since=api_timestamp(options["since"]) if options["since"] else None,
        until=api_timestamp(options["until"]) if options["until"] else None,
        timestamps=options["timestamps"],
        tail=options["tail"],
        details=options["details"],
    )
    if found["Config"].get("Tty"):
        for chunk in chunks:
            write_all(1, chunk)
        return 0
    demultiplexer = Demultiplexer()
    for chunk in chunks:
        for stream, payload in demultiplexer.feed(chunk):
            write_all(2 if stream == 2 else 1, payload)
    return 0

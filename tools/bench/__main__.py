"""`python -m tools.bench [--rounds N] [--only TEXT]`"""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.support import leaks

from .engines import Dockerd, Podman, Sampan
from .report import Row, table, write_json, write_svg
from .scenarios import SCENARIOS, Bench


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="", help="scenarios whose name contains this")
    arguments = parser.parse_args()
    chosen = [scenario for scenario in SCENARIOS if arguments.only in scenario.name]
    dockerd = Dockerd()
    sampan = Sampan()
    podman = Podman(dockerd)
    bench = Bench(sampan, dockerd, podman, arguments.rounds)
    rows = []
    try:
        for scenario in chosen:
            figures = scenario.run(bench)
            rows.append(Row(scenario.name, scenario.unit, scenario.target, scenario.peer, figures, scenario.limit))
            print(table(rows[-1:]).splitlines()[1], flush=True)
    finally:
        bench.close()
        podman.close()
        sampan.close()
        dockerd.close()
        leaks.remove_session()
    print("\n" + table(rows))
    write_json(rows, Path("bench.json"))
    write_svg(rows, Path("bench.svg"))


main()

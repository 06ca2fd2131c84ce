"""A build's events as the classic builder's text."""

from __future__ import annotations

from sampan.api.buildlog import Classic
from sampan.build.progress import LOG_CLIPPED, LOG_LIMIT, Planned, PlannedStep, StepDone, StepLog


def test_what_a_step_says_before_its_turn_is_bounded() -> None:
    classic = Classic()
    classic.text(Planned(step="", steps=(PlannedStep("RUN one", 1, "1"), PlannedStep("RUN two", 2, "2"))))
    line = "x" * 999 + "\n"
    for _ in range(2 * LOG_LIMIT // len(line)):
        assert classic.text(StepLog(step="2", stream=1, text=line)) == ""
    assert classic.text(StepLog(step="1", stream=1, text="first\n")) == "first\n"
    told = classic.text(StepDone(step="1"))
    assert told.startswith("Step 2/2 : RUN two\n" + line) and told.endswith(LOG_CLIPPED)
    assert told.count("x") + told.count("\n") < LOG_LIMIT + 10
    assert classic.text(StepLog(step="2", stream=1, text=line)) == line  # its turn: nothing is kept any more

"""Restart policies with Docker's back-off: 100 ms, doubled at each end within ten seconds, at most a minute."""

from __future__ import annotations

from ..model.container import RestartPolicy
from ..model.state import ContainerState

FIRST_DELAY = 0.1
LONGEST_DELAY = 60.0
STABLE_SECONDS = 10.0
"""A container that ran this long starts over with the first delay."""


def next_delay(previous: float, ran_seconds: float) -> float:
    """The back-off before the coming restart, in seconds."""
    if previous == 0 or ran_seconds >= STABLE_SECONDS:
        return FIRST_DELAY
    return min(previous * 2, LONGEST_DELAY)


def wanted_after_exit(policy: RestartPolicy, state: ContainerState, *, unhealthy: bool = False) -> bool:
    """Whether the policy starts the container again now that it ended by itself."""
    if state.stopped_by_user:
        return False
    tries_left = not policy.maximum_retry_count or state.restart_count < policy.maximum_retry_count
    match policy.name:
        case "always" | "unless-stopped":
            return True
        case "on-failure":
            return state.exit_code != 0 and tries_left
        case "on-unhealthy":
            return (unhealthy or state.exit_code != 0) and tries_left
    return False


def wanted_at_boot(policy: RestartPolicy, state: ContainerState) -> bool:
    """Whether a daemon that comes up starts a container that is not running."""
    match policy.name:
        case "always":
            return True
        case "unless-stopped":
            return not state.stopped_by_user
        case "on-failure" | "on-unhealthy":
            # Docker starts these only when they were running (or about to) at the time the machine went down.
            return state.status in ("running", "paused", "restarting") and not state.stopped_by_user
    return False

"""The services of a `POST /grpc`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .control import Control
from .gateway import Gateway
from .sessions import SessionService
from .transport import Service

if TYPE_CHECKING:
    from ..engine.engine import Engine


def services(engine: Engine) -> list[Service]:
    """Those of one connection."""
    return [SessionService(engine), Control(engine), Gateway(engine)]

"""Volumes: data that outlives containers. The local driver, Docker's volume plugins, copies and snapshots."""

from __future__ import annotations

from .plugins import Plugins
from .volume import ANONYMOUS, Volume
from .volumes import Pruned, Volumes

__all__ = ["ANONYMOUS", "Plugins", "Pruned", "Volume", "Volumes"]

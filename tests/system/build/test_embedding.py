"""`sampan.build`: directories, texts, parsed Dockerfiles and graphs, with typed events, in an engine without a daemon."""

from __future__ import annotations

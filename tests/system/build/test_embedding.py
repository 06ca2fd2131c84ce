"""`sampan.build`: directories, texts, parsed Dockerfiles and graphs, with typed events, in an engine without a daemon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import sampan
from sampan import Engine
from sampan.build.execution import StepFailed
from sampan.build.graph import SCRATCH, Copy, Exec, Files, ImageSource, MakeFile, Vertex
from sampan.build.progress import BuildEvent, Failed, ImageBuilt, Planned, StepDone, StepLog, StepStarted, Warned
from sampan.dockerfile.errors import DockerfileError
from sampan.dockerfile.parser import parse
from sampan.oci import platform as platforms

from ...support.engine import opened_engine

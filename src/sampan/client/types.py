"""Shapes of the answers that callers look into, by Docker's field names (Engine API v1.51).

Only checkers read this module: answers stay plain dictionaries, in the order in which the daemon sent them.
"""

from __future__ import annotations

from typing import Any, TypedDict


class Created(TypedDict):
    Id: str
    Warnings: list[str] | None


class WaitError(TypedDict):
    Message: str


class WaitResult(TypedDict):
    StatusCode: int
    Error: WaitError | None


class Port(TypedDict, total=False):
    IP: str
    PrivatePort: int
    PublicPort: int
    Type: str


class ContainerSummary(TypedDict, total=False):
    Id: str
    Names: list[str]
    Image: str
    ImageID: str
    Command: str
    Created: int
    Ports: list[Port]
    SizeRw: int
    SizeRootFs: int
    Labels: dict[str, str] | None
    State: str
    Status: str
    HostConfig: dict[str, Any]
    NetworkSettings: dict[str, Any]
    Mounts: list[dict[str, Any]]


class ContainerState(TypedDict, total=False):
    Status: str
    Running: bool
    Paused: bool
    Restarting: bool
    OOMKilled: bool
    Dead: bool
    Pid: int
    ExitCode: int
    Error: str
    StartedAt: str
    FinishedAt: str
    Health: dict[str, Any]


class ContainerInspect(TypedDict, total=False):
    Id: str
    Created: str
    Path: str
    Args: list[str]
    State: ContainerState
    Image: str
    Name: str
    RestartCount: int
    Mounts: list[dict[str, Any]]
    Config: dict[str, Any]
    HostConfig: dict[str, Any]
    NetworkSettings: dict[str, Any]
    SizeRw: int
    SizeRootFs: int


class ExecInspect(TypedDict, total=False):
    ID: str
    Running: bool
    ExitCode: int | None
    ProcessConfig: dict[str, Any]
    ContainerID: str
    Pid: int


class Top(TypedDict):
    Titles: list[str]
    Processes: list[list[str]]


class Change(TypedDict):
    Kind: int
    Path: str


class ImageSummary(TypedDict, total=False):
    Id: str
    ParentId: str
    RepoTags: list[str] | None
    RepoDigests: list[str] | None
    Created: int
    Size: int
    SharedSize: int
    Labels: dict[str, str] | None
    Containers: int
    Manifests: list[dict[str, Any]]


class Network(TypedDict, total=False):
    Name: str
    Id: str
    Created: str
    Scope: str
    Driver: str
    EnableIPv4: bool
    EnableIPv6: bool
    IPAM: dict[str, Any]
    Internal: bool
    Containers: dict[str, Any]
    Options: dict[str, str]
    Labels: dict[str, str]


class Volume(TypedDict, total=False):
    Name: str
    Driver: str
    Mountpoint: str
    CreatedAt: str
    Labels: dict[str, str] | None
    Options: dict[str, str] | None
    Scope: str
    UsageData: dict[str, int]


class VolumeList(TypedDict):
    Volumes: list[Volume] | None
    Warnings: list[str] | None


class ProgressDetail(TypedDict, total=False):
    current: int
    total: int


class Progress(TypedDict, total=False):
    """One message of a pull, push, load or build."""

    id: str
    status: str
    stream: str
    progressDetail: ProgressDetail
    error: str
    errorDetail: dict[str, Any]
    aux: dict[str, Any]


class Event(TypedDict, total=False):
    Type: str
    Action: str
    Actor: dict[str, Any]
    scope: str
    time: int
    timeNano: int


class PathStat(TypedDict):
    name: str
    size: int
    mode: int
    mtime: str
    linkTarget: str


Json = dict[str, Any]
Filters = dict[str, list[str]]

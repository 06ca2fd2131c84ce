"""Bake files and command lines whose `--print` is compared with buildx's."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

JSON: dict[str, Any] = {
    "variable": {
        "TAG": {"default": "latest"}, "N": {"default": 3}, "B": {"default": True}, "ALL": {"default": "${TAG}-x"},
    },
    "group": {"default": {"targets": ["web", "db"]}, "all": {"targets": ["default", "extra"]}},
    "target": {
        "base": {"args": {"A": "1", "V": "${TAG}"}, "labels": {"l": "x"}, "platforms": ["linux/amd64"]},
        "web": {
            "inherits": ["base"], "context": "./web", "tags": ["web:${TAG}", "web:n${N}"], "args": {"B": "2"},
            "secret": ["id=s,src=f", {"type": "env", "id": "t", "env": "HOME"}], "output": ["type=docker"],
            "cache-from": ["type=local,src=x", "user/app:cache"], "cache-to": ["type=inline"],
            "no-cache-filter": ["s1"], "contexts": {"more": "./more", "b": "target:db"},
        },
        "db": {
            "dockerfile": "db.Dockerfile", "target": "final", "no-cache": "${B}", "pull": True, "network": "none",
            "shm-size": "64m", "ulimits": ["nofile=1024:2048"], "extra-hosts": {"a.b": "1.2.3.4"},
            "entitlements": ["network.host"], "annotations": ["a=b"], "attest": ["type=sbom"], "description": "a db",
        },
        "heir": {"inherits": ["web", "db"], "args": {"A": None, "C": 5, "D": False, "E": "$${lit} ${ALL}"}},
        "extra": {
            "name": "extra-${v}-${w}", "matrix": {"v": ["1", "2"], "w": ["x"]}, "args": {"V": "${v}"},
            "tags": ["extra:${v}"], "dockerfile-inline": "FROM busybox\nARG V", "output": ["out"],
        },
        "multi": {
            "name": "m-${n}", "matrix": {"n": ["a", "b"]}, "inherits": ["base"], "output": ["type=tar,dest=${n}"],
        },
    },
}  # fmt: skip
COMPOSE = """
services:
  web:
    image: web:1
    build:
      context: ./web
      dockerfile: W
      args: {A: "1", UNSET: }
      labels: [x=y]
      target: t
      tags: [more:1]
      cache_from: [a, "type=local,src=b"]
      cache_to: [type=inline]
      no_cache: true
      pull: true
      platforms: [linux/amd64]
      network: host
      shm_size: 64m
      additional_contexts: {m: ./m}
      secrets: [s, {source: e, target: x}]
      extra_hosts: ["a:1.2.3.4"]
      ulimits: {nofile: {soft: 10, hard: 20}}
      entitlements: [network.host]
      x-bake:
        tags: [xb:1]
        platforms: [linux/arm64]
        no-cache: false
        output: [type=docker]
  "sub.db":
    build: ./db
    image: db:$$1${NONE:+x}
    profiles: [x]
  none:
    image: busybox
  inline:
    build:
      dockerfile_inline: |
        FROM busybox
        RUN true
      args:
        - C=${WORD:-dflt}
        - WORD
        - D=${DOT-none}
secrets:
  s: {file: ./s.txt}
  e: {environment: E}
"""
FILES = {
    "a.json": json.dumps(JSON), "compose.yaml": COMPOSE, ".env": "DOT='from .env'\n# comment\n", "f": "", "q": "",
    "s.txt": "",
    "more.json": json.dumps({"group": {"all": {"targets": ["new"]}}, "target": {
        "web": {"tags": ["other"], "args": {"B": "3"}, "secret": ["id=s,src=q"], "platforms": ["linux/arm64"]},
        "new": {"inherits": ["extra-1-x"], "cache-from": ["type=registry,ref=r"]}}}),
    "loop.json": json.dumps({"target": {"a": {"inherits": ["b"], "args": {"X": "1"}}, "b": {"inherits": ["a"]}}}),
    "groups.json": json.dumps({"group": {"a": {"targets": ["b"]}, "b": {"targets": ["a"]}}, "target": {"c": {}}}),
}  # fmt: skip


@dataclass(frozen=True)
class BakeCase:
    """`words` after `bake`, `--print` among them implied; `env` beside the usual."""

    name: str
    words: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)


BAKES = (
    BakeCase("default", ("-f", "a.json")),
    BakeCase("groups", ("-f", "a.json", "all")),
    BakeCase("heirs", ("-f", "a.json", "heir", "multi")),
    BakeCase("environment", ("-f", "a.json", "web", "heir"), {"TAG": "v9", "B": "false"}),
    BakeCase("set", (
        "-f", "a.json", "extra", "--set", "*.args.Q=1", "--set", "extra-*.platform=linux/arm64", "--set", "*.tags+=n:1",
        "--set", "*.no-cache=true", "--set", "*.output=type=oci,dest=x", "--set", "*.labels.k=v=w", "--set",
        "*.context=./foo", "--set", "*.secrets=id=q", "--set", "*.contexts.c=d", "--set", "*.target=t", "--set",
        "*.dockerfile=D", "--set", "*.cache-from=u/v",
    )),
    BakeCase("set-lists", (
        "-f", "a.json", "web", "--set", "web.tags=n:1", "--set", "web.tags=n:2", "--set", "web.args.V=",
        "--set", "web.args.W", "--set", "web.pull=true",
    ), {"W": "from the environment"}),
    BakeCase("shorthands", ("-f", "a.json", "--push", "--no-cache", "--pull", "web")),
    BakeCase("load", ("-f", "a.json", "--load", "base", "web")),
    BakeCase("compose", ("-f", "compose.yaml")),
    BakeCase("compose-environment", ("-f", "compose.yaml", "inline", "sub_db"), {"WORD": "w", "NONE": "1"}),
    BakeCase("both", ("-f", "a.json", "-f", "compose.yaml", "web")),
    BakeCase("both-default", ("-f", "compose.yaml", "-f", "a.json")),
    BakeCase("two-files", ("-f", "a.json", "-f", "more.json", "web", "all")),
    BakeCase("found", ()),
    BakeCase("inherits-itself", ("-f", "loop.json", "a")),
    BakeCase("no-target", ("-f", "a.json", "nope")),
    BakeCase("no-default", ("-f", "loop.json")),
    BakeCase("group-loop", ("-f", "groups.json", "a")),
    BakeCase("set-no-name", ("-f", "a.json", "web", "--set", "web.args=1")),
    BakeCase("set-no-target", ("-f", "a.json", "web", "--set", "nope.args.A=1")),
    BakeCase("set-no-key", ("-f", "a.json", "web", "--set", "web")),
    BakeCase("set-unknown", ("-f", "a.json", "web", "--set", "web.colour=red")),
)  # fmt: skip

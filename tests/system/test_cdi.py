"""Devices by CDI files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from ..support.daemon import Daemon

WIDGETS = """
cdiVersion: "0.6.0"
kind: acme.com/widget
containerEdits:
  env: ["ALL=1"]
devices:
- name: one
  containerEdits:
    env: ["ONE=1", "HOME=/there"]
    deviceNodes:
    - {path: /dev/widget, hostPath: /dev/null, permissions: rw}
    mounts:
    - {hostPath: /etc/hostname, containerPath: /widget-file, options: [ro, nosuid, bind]}
    hooks:
    - {hookName: createContainer, path: /bin/sh, args: [sh, -c, "cat > $TOLD"], env: ["TOLD=@TOLD@"]}
- name: two
  containerEdits: {env: ["TWO=1"], additionalGids: [77]}
"""


def test_devices_by_name(make_daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    specs, told = tmp_path / "cdi", tmp_path / "told"
    specs.mkdir()
    (specs / "acme.yaml").write_text(WIDGETS.replace("@TOLD@", str(told)))
    (specs / "bad.json").write_text("{")
    gpus = [{"name": name, "containerEdits": {"env": [f"GPU_{name}=1"]}} for name in ("0", "1", "all")]
    (specs / "gpu.json").write_text(json.dumps({"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": gpus}))
    daemon = make_daemon("--cdi-spec-dir", str(specs))
    assert daemon.ok("info", "-f", "{{json .CDISpecDirs}}") == json.dumps([str(specs)])
    script = "echo $ALL$ONE$TWO $HOME; ls -l /dev/widget; echo x > /dev/widget; cat /widget-file; id -G"
    out = daemon.ok("run", "--rm", "--device", "acme.com/widget=one", "--device", "acme.com/widget=two", "busybox",
                    "sh", "-c", script).splitlines()  # fmt: skip
    assert out[0] == "111 /there"
    assert out[1].split()[0].startswith("c") and "1,   3" in out[1]
    assert out[2] == Path("/etc/hostname").read_text().strip()
    assert "77" in out[3].split()
    state = json.loads(told.read_text())
    assert state["pid"] > 0 and state["status"] == "creating"
    missing = daemon.docker("run", "--rm", "--device", "acme.com/widget=nosuch", "busybox", "true")
    assert missing.status == 125
    assert "CDI device injection failed: unresolvable CDI devices acme.com/widget=nosuch" in missing.err
    for flag, wanted in (("all", "GPU_all=1"), ("2", "GPU_1=1"), ("device=1", "GPU_1=1")):
        assert wanted in daemon.ok("run", "--rm", "--gpus", flag, "busybox", "env").split()
    (specs / "gpu.json").unlink()
    refused = daemon.docker("run", "--rm", "--gpus", "all", "busybox", "true")
    assert 'could not select device driver "" with capabilities: [[gpu]]' in refused.err

"""Volume plugins: the part of Docker's plugin protocol that is about volumes (see `sampan.plugin`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sampan.errors import NotFound, SampanError

from ..plugin import SOCKET_DIRECTORIES, SPEC_DIRECTORIES, Address, Directories

SECONDS = {"VolumeDriver.Create": 120.0, "VolumeDriver.Mount": 120.0}
OTHERS = 60.0
"""dockerd's limits (moby volume/drivers/proxy.go): making and mounting may take two minutes, all else one."""


class Plugins:
    """Finds plugins when they are asked for; one that answered stays known. Calls block."""

    def __init__(self, sockets: Sequence[str] = SOCKET_DIRECTORIES, specs: Sequence[str] = SPEC_DIRECTORIES) -> None:
        self._directories = Directories(sockets, specs)
        self._known: dict[str, VolumePlugin] = {}

    def get(self, name: str) -> VolumePlugin:
        """The volume plugin of that name; NotFound with Docker's text."""
        if name not in self._known:
            address = self._directories.find(name)
            if address is None:
                raise NotFound(f'error looking up volume plugin {name}: plugin "{name}" not found')
            self._known[name] = VolumePlugin(name, address)
        return self._known[name]

    def names(self) -> list[str]:
        """All that can be found, for `docker info`."""
        return self._directories.names()


class VolumePlugin:
    """One plugin that implements VolumeDriver."""

    def __init__(self, name: str, address: Address) -> None:
        self.name = name
        from ..plugin.calls import Plugin  # http.client and the mail parser that it needs: 1 MB

        self._plugin = Plugin(name, address)
        if "VolumeDriver" not in self._plugin.implements():
            raise NotFound(f'error looking up volume plugin {name}: plugin "{name}" does not implement volumedriver')
        self.scope = self._scope()

    def _scope(self) -> str:
        try:
            capabilities = self._call("VolumeDriver.Capabilities", {}).get("Capabilities") or {}
        except SampanError:  # an old plugin has no such call: local
            return "local"
        return "global" if str(capabilities.get("Scope", "")).lower() == "global" else "local"

    def _call(self, method: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._plugin.call(method, body, SECONDS.get(method, OTHERS))

    def create(self, name: str, options: dict[str, str]) -> None:
        self._call("VolumeDriver.Create", {"Name": name, "Opts": options})

    def remove(self, name: str, options: dict[str, str]) -> None:
        self._call("VolumeDriver.Remove", {"Name": name})

    def path(self, name: str) -> str:
        return str(self._call("VolumeDriver.Path", {"Name": name}).get("Mountpoint") or "")

    def mount(self, name: str, options: dict[str, str], user: str) -> str:
        return str(self._call("VolumeDriver.Mount", {"Name": name, "ID": user}).get("Mountpoint") or "")

    def unmount(self, name: str, user: str) -> None:
        self._call("VolumeDriver.Unmount", {"Name": name, "ID": user})

    def status(self, name: str) -> dict[str, object]:
        volume = self._call("VolumeDriver.Get", {"Name": name}).get("Volume") or {}
        return dict(volume.get("Status") or {})

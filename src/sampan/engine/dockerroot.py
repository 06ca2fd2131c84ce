"""What lies in a Docker data-root (overlay2 image store), read without changing anything.

image/overlay2/imagedb/content/sha256/<id>              image configurations
               imagedb/metadata/sha256/<id>/parent      what `docker build` made it from
               layerdb/sha256/<chain id>/{diff,cache-id,tar-split.json.gz}
               layerdb/mounts/<container>/mount-id
               repositories.json
overlay2/<cache-id or mount-id>/diff
containers/<id>/{config.v2.json,hostconfig.json}
volumes/metadata.db, volumes/<name>/_data
network/files/local-kv.db
"""

from __future__ import annotations

import os
from typing import Any

from msgspec import DecodeError, Struct, json

from ..db.bolt import Bolt
from ..errors import DataLoss, InvalidArgument
from ..network.spec import IPAM, IPAMPool, NetworkSpec
from ..oci import digest as digests
from .naming import is_id

_NETWORK = b"docker/network/v1.0/network/"
_PREDEFINED = ("bridge", "host", "none")
_INDEX_BYTES = 8
"""libkv puts a counter before each value."""


class VolumeRow(Struct, rename="pascal"):
    """A volume as volumes/metadata.db has it."""

    name: str
    driver: str = "local"
    labels: dict[str, str] | None = None
    options: dict[str, str] | None = None


class LayerFiles(Struct, frozen=True):
    """Where a layer's tar comes from."""

    diff_id: str
    description: str
    directory: str


class DockerRoot:
    """One data-root. InvalidArgument where it is none, or keeps its images in another way."""

    def __init__(self, path: str) -> None:
        self.path = path.rstrip("/")
        self._images = f"{self.path}/image/overlay2"
        if not os.path.isdir(f"{self.path}/overlay2") or not os.path.isdir(f"{self._images}/layerdb"):
            raise InvalidArgument(
                f"{path} is no data-root of a Docker with the storage driver overlay2{self._other_store()}"
            )

    def _other_store(self) -> str:
        """What keeps the images instead, where that can be told."""
        found = self._names("image")
        if found:
            return f": it has images of {', '.join(found)}; save them with docker save and load them here"
        if self._names("rootfs") or os.path.isdir(f"{self.path}/containerd/daemon/io.containerd.content.v1.content"):
            return ": its images are in containerd's store; save them with docker save and load them here"
        return ""

    def _names(self, directory: str) -> list[str]:
        path = f"{self.path}/{directory}"
        return sorted(os.listdir(path)) if os.path.isdir(path) else []

    def left_out(self) -> list[tuple[str, str]]:
        """What is here and cannot be taken over, each with its reason."""
        found = []
        if os.path.exists(f"{self.path}/swarm/docker-state.json"):
            found.append(("swarm", "services, secrets and configs of a swarm have no counterpart"))
        for name in self._names("plugins"):
            if len(name) == 64:
                config = _json(f"{self.path}/plugins/{name}/config.json", {})
                about = (config.get("plugin") or {}).get("Name", name[:12])
                found.append((f"plugin {about}", "managed plugins cannot be installed; run it beside us"))
        if os.path.exists(f"{self.path}/buildkit/cache.db"):
            found.append(("build cache", "it is made again by the next builds"))
        return found + [(f"network {name}", "it belongs to a swarm") for name in self._swarm_networks()]

    def repositories(self) -> dict[str, str]:
        """Tag or digest reference → image id."""
        found = _json(f"{self._images}/repositories.json", {"Repositories": {}})
        return {ref: image for names in found["Repositories"].values() for ref, image in names.items()}

    def images(self) -> list[str]:
        """The ids of all images."""
        directory = f"{self._images}/imagedb/content/sha256"
        return sorted(f"sha256:{name}" for name in os.listdir(directory))

    def image_config(self, image_id: str) -> bytes:
        """The configuration; DataLoss when it is not what its name says."""
        data = _read(f"{self._images}/imagedb/content/sha256/{image_id.removeprefix('sha256:')}")
        if digests.of_bytes(data) != image_id:
            raise DataLoss(f"image {image_id}: its configuration is damaged")
        return data

    def parent(self, image_id: str) -> str:
        """The image that it was built from here, or empty."""
        path = f"{self._images}/imagedb/metadata/sha256/{image_id.removeprefix('sha256:')}/parent"
        return _read(path).decode() if os.path.exists(path) else ""

    def layer(self, chain_id: str) -> LayerFiles:
        """The files of a layer."""
        directory = f"{self._images}/layerdb/sha256/{chain_id.removeprefix('sha256:')}"
        cache = _read(f"{directory}/cache-id").decode()
        description = f"{directory}/tar-split.json.gz"
        return LayerFiles(_read(f"{directory}/diff").decode(), description, f"{self.path}/overlay2/{cache}/diff")

    def containers(self) -> list[str]:
        """The ids of all containers."""
        directory = f"{self.path}/containers"
        if not os.path.isdir(directory):
            return []
        return sorted(name for name in os.listdir(directory) if os.path.exists(f"{directory}/{name}/config.v2.json"))

    def container(self, container_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """config.v2.json and hostconfig.json; DataLoss where they are not of the container that the directory names."""
        directory = f"{self.path}/containers/{container_id}"
        config = _json(f"{directory}/config.v2.json")
        if not is_id(container_id) or config.get("ID") != container_id:
            raise DataLoss(f"{directory}: its record is of another container: {config.get('ID')}")
        return config, _json(f"{directory}/hostconfig.json")

    def writable_layer(self, container_id: str) -> str:
        """The container's own files, with overlayfs' whiteouts."""
        return f"{self.path}/overlay2/{_read(f'{self._images}/layerdb/mounts/{container_id}/mount-id').decode()}/diff"

    def logs(self, container_id: str) -> list[str]:
        """Log files that can be read back, rotated ones too, as paths below the container's directory."""
        below = f"containers/{container_id}"
        plain = [
            name for name in self._names(below) if name.startswith((f"{container_id}-json.log", "container-cached"))
        ]
        return plain + [f"local-logs/{name}" for name in self._names(f"{below}/local-logs")]

    def volumes(self) -> list[VolumeRow]:
        """All volumes, by name."""
        path = f"{self.path}/volumes/metadata.db"
        rows = Bolt(_read(path)).bucket(b"volumes").values() if os.path.exists(path) else ()
        return sorted((json.decode(row, type=VolumeRow) for row in rows), key=lambda row: row.name)

    def volume_data(self, name: str) -> str:
        return f"{self.path}/volumes/{name}/_data"

    def networks(self) -> list[NetworkSpec]:
        """The networks that users made here, by name."""
        own = (row for row in self._network_rows() if row["name"] not in _PREDEFINED and row.get("scope") == "local")
        return sorted(map(_network, own), key=lambda spec: spec.name)

    def _swarm_networks(self) -> list[str]:
        return sorted(row["name"] for row in self._network_rows() if row.get("scope") == "swarm")

    def _network_rows(self) -> list[dict[str, Any]]:
        path = f"{self.path}/network/files/local-kv.db"
        rows = Bolt(_read(path)).bucket(b"libnetwork") if os.path.exists(path) else {}
        return [json.decode(value[_INDEX_BYTES:]) for key, value in rows.items() if key.startswith(_NETWORK)]


def _network(row: dict[str, Any]) -> NetworkSpec:
    generic = row.get("generic") or {}
    return NetworkSpec(
        name=row["name"],
        driver=row.get("networkType", "bridge"),
        internal=bool(row.get("internal")),
        attachable=bool(row.get("attachable")),
        enable_ipv4=bool(row.get("enableIPv4", True)),
        enable_ipv6=bool(row.get("enableIPv6")),
        ipam=IPAM(driver=row.get("ipamType") or "default", options=row.get("ipamOptions"), config=_pools(row) or None),
        options=generic.get("com.docker.network.generic") or None,
        labels=row.get("labels") or None,
    )


def _pools(row: dict[str, Any]) -> list[IPAMPool]:
    """The subnets that were asked for; those that Docker chose are chosen anew."""
    pools = []
    for key in ("ipamV4Config", "ipamV6Config"):
        for pool in json.decode(row[key]) if row.get(key) else ():
            if pool.get("PreferredPool"):
                pools.append(
                    IPAMPool(
                        subnet=pool["PreferredPool"],
                        ip_range=pool.get("SubPool", ""),
                        gateway=pool.get("Gateway", ""),
                        auxiliary_addresses=pool.get("AuxAddresses"),
                    )
                )
    return pools


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise DataLoss(f"{path}: {(error.strerror or '').lower()}") from error


def _json(path: str, default: dict[str, Any] | None = None) -> dict[str, Any]:
    if default is not None and not os.path.exists(path):
        return default
    try:
        document: dict[str, Any] = json.decode(_read(path))
    except DecodeError as error:
        raise DataLoss(f"{path}: {error}") from error
    return document

"""Every path of the engine, in one place.

<data_root>/               0710, default /var/lib/sampan
  sampan.db                SQLite: the truth about images, containers, networks, volumes
  content/                 an OCI image layout: blobs/sha256/<hex>
  snapshots/<driver>/      layers
  containers/<id>/         config.json (OCI bundle), logs, hosts, hostname, resolv.conf
  volumes/<name>/_data
  networks.json            a copy of the networks' rows
  build/                   cache mounts
  tmp/                     same file system; emptied at start
<exec_root>/               0710, default /run/sampan
  shims/<id>/              shim.sock, pid files
  plugins/
"""

from __future__ import annotations

DEFAULT_DATA_ROOT = "/var/lib/sampan"
DEFAULT_EXEC_ROOT = "/run/sampan"
DEFAULT_SOCKET = "/run/sampan.sock"
DEFAULT_PIDFILE = "/run/sampan.pid"
CONFIG_FILES = ("/etc/sampan/daemon.json", "/etc/docker/daemon.json")
"""The first that exists is read."""


class Paths:
    """The on-disk layout below one data root and one exec root; strings, without a trailing slash."""

    def __init__(self, data_root: str = DEFAULT_DATA_ROOT, exec_root: str = DEFAULT_EXEC_ROOT) -> None:
        self.data_root = data_root.rstrip("/") or "/"
        self.exec_root = exec_root.rstrip("/") or "/"
        self.database = f"{self.data_root}/sampan.db"
        self.content = f"{self.data_root}/content"
        self.snapshots = f"{self.data_root}/snapshots"
        self.containers = f"{self.data_root}/containers"
        self.volumes = f"{self.data_root}/volumes"
        self.networks = f"{self.data_root}/networks.json"
        self.build = f"{self.data_root}/build"
        self.tmp = f"{self.data_root}/tmp"
        self.shims = f"{self.exec_root}/shims"

    def container(self, container_id: str) -> str:
        """The directory of one container: bundle, logs and the files mounted over /etc."""
        return f"{self.containers}/{container_id}"

    def shim(self, container_id: str) -> str:
        """The run-time directory of one container's shim."""
        return f"{self.shims}/{container_id}"

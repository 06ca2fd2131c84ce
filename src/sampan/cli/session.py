"""One run of the command: global options, the daemon's client (made on first use) and the output."""

from __future__ import annotations

import os
import sys

from .configfile import ConfigFile, default_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.client.sync import Client

    from .flags import Options
    from .hosts import Host


class GlobalOptions:
    """What stands before the command's name."""

    def __init__(self, options: Options) -> None:
        self.config = ConfigFile(options["config"] or default_directory())
        self.host: str = options["host"]
        self.context: str = options["context"]
        self.debug: bool = options["debug"]
        self.tls: bool = options["tls"]
        self.tls_verify: bool = options["tlsverify"]
        self.tls_ca: str = options["tlscacert"]
        self.tls_cert: str = options["tlscert"]
        self.tls_key: str = options["tlskey"]


class Session:
    """What a command's function works with."""

    def __init__(self, options: GlobalOptions, name: str) -> None:
        self.options, self.name = options, name
        self._client: Client | None = None
        self._host: Host | None = None

    @property
    def config(self) -> ConfigFile:
        return self.options.config

    @property
    def host(self) -> Host:
        if self._host is None:
            from . import hosts

            self._host = hosts.resolve(self.options)
        return self._host

    @property
    def client(self) -> Client:
        if self._client is None:
            self._client = self._connect()
        return self._client

    def another(self) -> Session:
        """The same for another thread."""
        made = Session(self.options, self.name)
        made._client = self.client.clone()
        return made

    def _connect(self) -> Client:
        from sampan.client.sync import Client

        if not self.host.chosen:
            from . import autostart

            autostart.ensure_daemon(self.host.url)
        version = os.environ.get("DOCKER_API_VERSION") or None
        headers = self.config.values.get("HttpHeaders")
        return Client(self.host.url, self.host.tls, version=version, headers=headers)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def say(self, text: str) -> None:
        """A line on standard output."""
        sys.stdout.write(text + "\n")

    def warn(self, text: str) -> None:
        """A line on standard error."""
        sys.stdout.flush()
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

"""What a log driver may say about its container."""

from __future__ import annotations

from sampan import errors
from sampan.rpc.messages import Fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re

_FIELD = r"\{\{-?\s*(?:\.(\w+)|index\s+\.(\w+)\s+\"([^\"]*)\"|(.*?))\s*-?\}\}"


class LogInfo(Fields):
    """`created` in ns; `name` with Docker's leading slash; `env` as NAME=value."""

    container_id: str = ""
    name: str = ""
    entrypoint: str = ""
    args: list[str] = []
    image_id: str = ""
    image_name: str = ""
    created: int = 0
    env: list[str] = []
    labels: dict[str, str] = {}
    daemon_name: str = "docker"

    def attributes(self, options: dict[str, str]) -> dict[str, str]:
        """The labels and environment that the options `labels`, `labels-regex`, `env` and `env-regex` select."""
        found = _select(self.labels, options.get("labels"), options.get("labels-regex"))
        pairs = dict(entry.split("=", 1) for entry in self.env if "=" in entry)
        return found | _select(pairs, options.get("env"), options.get("env-regex"))

    def tag(self, options: dict[str, str], default: str = "{{.ID}}") -> str:
        """The option `tag`, a Go template over Docker's fields; InvalidArgument where it names an unknown one."""
        import re  # as below

        return re.sub(_FIELD, self._field, options.get("tag") or default)

    def _field(self, match: re.Match[str]) -> str:
        field, mapping, key, other = match.groups()
        values = self._fields()
        if field in values:
            return values[field]
        if mapping == "ContainerLabels":
            return self.labels.get(key, "")
        raise errors.InvalidArgument(f"failed to parse log tag: {field or mapping or other!r} is not a field of it")

    def _fields(self) -> dict[str, str]:
        return {
            "ID": self.container_id[:12],
            "ContainerID": self.container_id,
            "FullID": self.container_id,
            "Name": self.name.removeprefix("/"),
            "ContainerName": self.name,
            "ImageID": self.image_id.removeprefix("sha256:")[:12],
            "ContainerImageID": self.image_id,
            "ImageFullID": self.image_id,
            "ImageName": self.image_name,
            "ContainerImageName": self.image_name,
            "DaemonName": self.daemon_name,
            "Command": self.command,
            "ContainerEntrypoint": self.entrypoint,
        }

    @property
    def command(self) -> str:
        return " ".join([self.entrypoint, *self.args]).strip()


def _select(values: dict[str, str], names: str | None, pattern: str | None) -> dict[str, str]:
    wanted = {name: values[name] for name in (names or "").split(",") if name in values}
    if pattern:
        import re  # 1 MB, for the few who ask for it

        compiled = re.compile(pattern)
        wanted |= {name: value for name, value in values.items() if compiled.search(name)}
    return wanted

"""The names of all commands, and where each is written. A command's module is loaded when it is used."""

from __future__ import annotations

from .command import Command

Entry = tuple[str, str]
"""`module:function` in this package, and the summary that a listing shows."""

CONTAINER: dict[str, Entry] = {
    "attach": (
        "attach:attach",
        "Attach local standard input, output, and error streams to a running container",
    ),
    "commit": ("container_image:commit", "Create a new image from a container's changes"),
    "cp": ("copy:cp", "Copy files/folders between a container and the local filesystem"),
    "create": ("run:create", "Create a new container"),
    "diff": ("container_image:diff", "Inspect changes to files or directories on a container's filesystem"),
    "exec": ("execute:exec", "Execute a command in a running container"),
    "export": ("container_image:export", "Export a container's filesystem as a tar archive"),
    "inspect": ("inspect:container", "Display detailed information on one or more containers"),
    "kill": ("lifecycle:kill", "Kill one or more running containers"),
    "logs": ("logs:logs", "Fetch the logs of a container"),
    "ls": ("container_list:ls", "List containers"),
    "pause": ("lifecycle:pause", "Pause all processes within one or more containers"),
    "port": ("container_list:port", "List port mappings or a specific mapping for the container"),
    "prune": ("prune:containers", "Remove all stopped containers"),
    "rename": ("lifecycle:rename", "Rename a container"),
    "restart": ("lifecycle:restart", "Restart one or more containers"),
    "rm": ("lifecycle:rm", "Remove one or more containers"),
    "run": ("run:run", "Create and run a new container from an image"),
    "start": ("start:start", "Start one or more stopped containers"),
    "stats": ("stats:stats", "Display a live stream of container(s) resource usage statistics"),
    "stop": ("lifecycle:stop", "Stop one or more running containers"),
    "top": ("container_list:top", "Display the running processes of a container"),
    "unpause": ("lifecycle:unpause", "Unpause all processes within one or more containers"),
    "update": ("update:update", "Update configuration of one or more containers"),
    "wait": ("lifecycle:wait", "Block until one or more containers stop, then print their exit codes"),
}
IMAGE: dict[str, Entry] = {
    "bootstrap": ("images:bootstrap", "Make a base image from this host's own packages"),
    "build": ("build:build", "Build an image from a Dockerfile"),
    "copy": ("image_copy:copy", "Copy images between registries and OCI layouts"),
    "explore": ("image_tools:explore", "Show what each layer adds and wastes"),
    "history": ("images:history", "Show the history of an image"),
    "import": ("archives:import_image", "Import the contents from a tarball to create a filesystem image"),
    "inspect": ("inspect:image", "Display detailed information on one or more images"),
    "load": ("archives:load", "Load an image from a tar archive or STDIN"),
    "ls": ("images:ls", "List images"),
    "prune": ("prune:images", "Remove unused images"),
    "pull": ("pull:pull", "Download an image from a registry"),
    "push": ("pull:push", "Upload an image to a registry"),
    "rm": ("images:rm", "Remove one or more images"),
    "save": ("archives:save", "Save one or more images to a tar archive (streamed to STDOUT by default)"),
    "sbom": ("image_tools:sbom", "List the packages in an image"),
    "scan": ("image_tools:scan", "Match packages with a vulnerability database"),
    "squash": ("image_tools:squash", "Make one layer of all layers"),
    "tag": ("images:tag", "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE"),
}
NETWORK: dict[str, Entry] = {
    "check": ("network_map:check", "Tell whether one container reaches another, and if not, why"),
    "connect": ("networks:connect", "Connect a container to a network"),
    "create": ("networks:create", "Create a network"),
    "disconnect": ("networks:disconnect", "Disconnect a container from a network"),
    "inspect": ("inspect:network", "Display detailed information on one or more networks"),
    "ls": ("networks:ls", "List networks"),
    "map": ("network_map:show_map", "Show networks with the containers on them"),
    "prune": ("prune:networks", "Remove all unused networks"),
    "rm": ("networks:rm", "Remove one or more networks"),
}
VOLUME: dict[str, Entry] = {
    "copy": ("volume_copies:copy", "Make a new volume with the options, labels and data of another"),
    "create": ("volumes:create", "Create a volume"),
    "export": ("volume_copies:export", "Write a volume's data as a tar archive (to STDOUT by default)"),
    "import": ("volume_copies:import_volume", "Unpack a tar archive into a volume"),
    "inspect": ("inspect:volume", "Display detailed information on one or more volumes"),
    "ls": ("volumes:ls", "List volumes"),
    "prune": ("prune:volumes", "Remove unused local volumes"),
    "rename": ("volume_copies:rename", "Rename a volume that no container has"),
    "restore": ("volume_copies:restore", "Put a volume back to a snapshot's state"),
    "rm": ("volumes:rm", "Remove one or more volumes"),
    "snapshot": ("volume_copies:snapshot", "Keep a volume's present state under a name, or list what is kept"),
}
SYSTEM: dict[str, Entry] = {
    "check": ("system_check:check", "Look for stray, missing and damaged blobs and layers"),
    "df": ("disk_usage:df", "Show docker disk usage"),
    "events": ("events:events", "Get real time events from the server"),
    "info": ("info:info", "Display system-wide information"),
    "migrate-from-docker": (
        "migrate:migrate",
        "Take over what a Docker data-root holds",
    ),
    "prune": ("prune:system", "Remove unused data"),
}
CONTEXT: dict[str, Entry] = {
    "create": ("contexts:create", "Create a context"),
    "export": ("context_transfer:export", "Export a context to a tar archive FILE or a tar stream on STDOUT."),
    "import": ("context_transfer:import_context", "Import a context from a tar or zip file"),
    "inspect": ("contexts:inspect", "Display detailed information on one or more contexts"),
    "ls": ("contexts:ls", "List contexts"),
    "rm": ("contexts:rm", "Remove one or more contexts"),
    "show": ("contexts:show_current", "Print the name of the current context"),
    "update": ("contexts:update", "Update a context"),
    "use": ("contexts:use", "Set the current docker context"),
}
BUILDER: dict[str, Entry] = {
    "build": ("build:build", "Build an image from a Dockerfile"),
    "bake": ("bake:bake", "Build from a file: JSON or Compose"),
    "du": ("build_usage:usage", "Disk usage of the build cache"),
    "prune": ("prune:builds", "Remove build cache"),
}
MANIFEST: dict[str, Entry] = {
    "annotate": ("manifest:annotate", "Add additional information to a local image manifest"),
    "create": ("manifest:create", "Create a local manifest list for annotating and pushing to a registry"),
    "inspect": ("manifest:inspect", "Display an image manifest, or manifest list"),
    "push": ("manifest:push", "Push a manifest list to a repository"),
    "rm": ("manifest:rm", "Delete one or more manifest lists from local storage"),
}
PLUGIN: dict[str, Entry] = {
    "inspect": ("inspect:plugin", "Display detailed information on one or more plugins"),
    "ls": ("swarm:plugins", "List plugins"),
}
REGISTRY: dict[str, Entry] = {
    "gc": ("registry_gc:gc", "Remove what no manifest needs"),
    "serve": ("registry_serve:serve", "Serve images from a directory"),
}
SECRET: dict[str, Entry] = {
    "create": ("secrets:create", "Create a secret from a file or STDIN as content"),
    "inspect": ("secrets:inspect", "Display detailed information on one or more secrets"),
    "ls": ("secrets:ls", "List secrets"),
    "rm": ("secrets:rm", "Remove one or more secrets"),
}
GROUPS: dict[str, tuple[dict[str, Entry], str]] = {
    "builder": (BUILDER, "Manage builds"),
    "container": (CONTAINER, "Manage containers"),
    "context": (CONTEXT, "Manage contexts"),
    "image": (IMAGE, "Manage images"),
    "manifest": (MANIFEST, "Manage image manifests and manifest lists"),
    "network": (NETWORK, "Manage networks"),
    "plugin": (PLUGIN, "Manage plugins"),
    "registry": (REGISTRY, "Run a registry"),
    "secret": (SECRET, "Manage secrets"),
    "system": (SYSTEM, "Manage Sampan"),
    "volume": (VOLUME, "Manage volumes"),
}
SWARM_GROUPS: dict[str, tuple[dict[str, Entry], str]] = {
    kind: ({"ls": (f"swarm:{kind}s", f"List {kind}s")}, f"Manage {summary}")
    for kind, summary in (
        ("config", "Swarm configs"),
        ("node", "Swarm nodes"),
        ("service", "Swarm services"),
    )
}
TOP: dict[str, Entry] = {
    **{name: CONTAINER[name] for name in CONTAINER if name not in ("ls", "prune", "inspect")},
    "ps": CONTAINER["ls"],
    **{name: IMAGE[name] for name in ("build", "history", "import", "load", "pull", "push", "save", "tag")},
    "images": IMAGE["ls"],
    "rmi": IMAGE["rm"],
    "events": SYSTEM["events"],
    "info": SYSTEM["info"],
    "completion": ("completion:completion", "Generate the autocompletion script for the specified shell"),
    "inspect": ("inspect:anything", "Return low-level information on Docker objects"),
    "login": ("login:login", "Authenticate to a registry"),
    "logout": ("login:logout", "Log out from a registry"),
    "search": ("search:search", "Search Docker Hub for images"),
    "version": ("version:version", "Show the Sampan version information"),
}
COMMON = (
    "run",
    "exec",
    "ps",
    "build",
    "pull",
    "push",
    "images",
    "login",
    "logout",
    "search",
    "version",
    "info",
)
HIDDEN = ("completion", "__complete")
SYNONYMS = {"list": "ls", "remove": "rm"}
"""Second names inside the groups; `container ps` is one more."""


def all_groups() -> dict[str, tuple[dict[str, Entry], str]]:
    return {**GROUPS, **SWARM_GROUPS}


def find(words: list[str]) -> tuple[str, Entry, list[str]] | None:
    """Name, entry and remaining words of the command that `words` begin with."""
    first = words[0]
    groups = all_groups()
    if first in groups and len(words) > 1:
        name = canonical(first, words[1])
        entry = groups[first][0].get(name)
        return (f"{first} {name}", entry, words[2:]) if entry else None
    return (first, TOP[first], words[1:]) if first in TOP else None


def canonical(group: str, name: str) -> str:
    if group == "container" and name == "ps":
        return "ls"
    entries = all_groups()[group][0]
    return name if name in entries else SYNONYMS.get(name, name)


def load(entry: Entry) -> Command:
    module, _, attribute = entry[0].partition(":")
    # Not importlib, which imports warnings.
    found: Command = getattr(__import__(f"sampan.cli.{module}", fromlist=[attribute]), attribute)
    return found


def aliases(name: str) -> list[str]:
    """All names of a command in the order of Docker's help: the groups' first."""
    found = find(name.split())
    target = found[1] if found else None
    names = []
    for group, (entries, _) in all_groups().items():
        for word, entry in entries.items():
            if entry is target:
                names.append(f"{group} {word}")
                names.extend(f"{group} {other}" for other, main in SYNONYMS.items() if main == word)
                names.extend(["container ps"] if (group, word) == ("container", "ls") else [])
    return names + [word for word, entry in TOP.items() if entry is target]

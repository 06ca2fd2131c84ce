"""Control groups: one interface over v1, hybrid and v2 hierarchies.

    from sampan.linux.cgroup import named
    group = named("/sampan/<id>")
    group.start(pid, resources); group.apply(resources) … group.remove()

A name is a path below every hierarchy's mount, or `slice:prefix:name` for a scope that systemd makes (the OCI
`cgroupsPath` of either driver). `resources` is the OCI runtime specification's `linux.resources`.
"""

from .group import Cgroup
from .hierarchy import Hierarchy

__all__ = ["Cgroup", "Hierarchy", "named"]


def named(name: str) -> Cgroup:
    """The control group of a name; making the object touches nothing."""
    if name.startswith("/") or name.count(":") != 2:
        return Cgroup(name)
    from .scope import Scope

    return Scope(name)

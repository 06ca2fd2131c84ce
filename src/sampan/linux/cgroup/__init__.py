"""Control groups: one interface over v1, hybrid and v2 hierarchies.

    from sampan.linux.cgroup import Cgroup
    group = Cgroup("/sampan/<id>")
    group.create(); group.apply(resources); group.add(pid) … group.remove()

`path` is relative to every hierarchy's mount. `resources` is the OCI runtime specification's `linux.resources`.
"""

from .group import Cgroup
from .hierarchy import Hierarchy

__all__ = ["Cgroup", "Hierarchy"]

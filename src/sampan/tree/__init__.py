"""File trees by descriptor: walk, copy, remove, tar in and out. Nothing here follows a link out of its root.

Snapshots, volumes, `docker cp` and build contexts all handle trees that somebody hostile may have made, or may be
changing at this moment. So every path is resolved below a directory fd (openat2, RESOLVE_IN_ROOT or RESOLVE_BENEATH)
and then used by fd (S06, S14). Names are str with surrogateescape; any byte string that the kernel allows survives.
"""

"""The files by which a shim and a daemon find each other (docs/shim.md).

<exec_root>/shims/<id>/shim.sock    control connections
<exec_root>/shims/<id>/state.json   init's pid and cgroup, to clean up after a shim that was killed
<state_dir>/exit.json               how the container's last run ended
"""

SOCKET = "shim.sock"
STATE = "state.json"
EXIT = "exit.json"

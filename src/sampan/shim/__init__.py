"""The zygote and the shim: one small process per container that owns its stdio and exit status."""

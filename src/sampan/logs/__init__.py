"""Log drivers (writers, used by the shim) and readers."""

"""The protocol between daemon, zygote and shim, without I/O."""

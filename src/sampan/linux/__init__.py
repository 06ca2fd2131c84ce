"""The kernel's interfaces. The only user of ctypes, by `cdata`."""

"""Snapshotters: layers, copy-on-write, unpacking, diffs."""

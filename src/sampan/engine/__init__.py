"""Use cases, one module each: the only place where images, storage, networks and runtime meet."""

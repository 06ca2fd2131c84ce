"""Running containers as the engine sees them: bundle, zygote and shim clients, external runtimes."""

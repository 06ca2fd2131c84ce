"""`make bench`: this engine against dockerd and podman from Debian's packages, interleaved in one run."""

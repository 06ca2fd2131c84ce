"""OCI and Docker specifications as values: digests, references, descriptors, manifests, platforms. Pure."""

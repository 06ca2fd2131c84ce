"""Content-addressed store: blobs by digest in an OCI image layout."""

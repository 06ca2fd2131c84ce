"""Content-addressed store: blobs by digest in an OCI image layout."""

from .store import Store, Writer

__all__ = ["Store", "Writer"]

"""The OCI runtime."""

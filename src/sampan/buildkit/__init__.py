"""BuildKit's gRPC services, so that buildx works with this engine (docs/buildkit.md).

Nothing of this package is imported before the first `POST /grpc` or `POST /session`.
"""

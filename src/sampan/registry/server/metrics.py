"""Numbers for Prometheus, in its text format 0.0.4."""

from __future__ import annotations

from collections import Counter

from .storage import RegistryStorage


class Metrics:
    """Counters since the start, and gauges read when asked for."""

    def __init__(self, storage: RegistryStorage) -> None:
        self._storage = storage
        self._requests: Counter[tuple[str, int]] = Counter()
        self._seconds = 0.0
        self.bytes_sent = 0
        self.bytes_received = 0
        self.collected_bytes = 0

    def count(self, method: str, status: int, seconds: float) -> None:
        """One request was answered."""
        self._requests[method, status] += 1
        self._seconds += seconds

    def render(self) -> str:
        """The document."""
        sizes = [size for _, size in self._storage.store.walk()]
        lines = ["# TYPE sampan_registry_requests_total counter"]
        lines += [
            f'sampan_registry_requests_total{{method="{method}",status="{status}"}} {count}'
            for (method, status), count in sorted(self._requests.items())
        ]
        values = {
            "request_seconds_total": ("counter", self._seconds),
            "sent_bytes_total": ("counter", self.bytes_sent),
            "received_bytes_total": ("counter", self.bytes_received),
            "collected_bytes_total": ("counter", self.collected_bytes),
            "repositories": ("gauge", len(self._storage.names())),
            "blobs": ("gauge", len(sizes)),
            "blob_bytes": ("gauge", sum(sizes)),
        }
        for name, (kind, value) in values.items():
            lines += [f"# TYPE sampan_registry_{name} {kind}", f"sampan_registry_{name} {value}"]
        return "\n".join(lines) + "\n"

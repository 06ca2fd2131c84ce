"""Sampan: a container engine. Images, containers, registries; see docs/ARCHITECTURE.md."""

__version__ = "0.1.0"

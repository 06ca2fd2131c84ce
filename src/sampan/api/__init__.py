"""The Engine API over HTTP: one module of routes per resource."""

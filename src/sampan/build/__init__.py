"""The image builder: graph, solver, cache, executors."""

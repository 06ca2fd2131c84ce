"""The engine: one module per use case; the only place where the parts below meet."""

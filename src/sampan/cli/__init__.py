"""The sampan command: one module per command group."""

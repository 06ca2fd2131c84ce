"""Clients of the Engine API: `sampan.client.sync.Client` blocks, `sampan.client.aio.AsyncClient` does not."""

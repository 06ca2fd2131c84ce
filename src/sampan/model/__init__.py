"""Values shared by the engine and its clients: container configuration in Docker's field names. Pure."""

"""Distribution: the client (auth, pull, push) and the server."""

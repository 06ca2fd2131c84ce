"""Docker's response shapes; only cli, client and api import it."""

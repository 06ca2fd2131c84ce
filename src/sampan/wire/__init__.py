"""Docker's JSON: what the Engine API answers (v1.51), as typed values. Server and clients share them; pure."""

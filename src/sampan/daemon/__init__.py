"""sampand: configuration and wiring."""

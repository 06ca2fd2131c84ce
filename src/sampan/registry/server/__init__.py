"""A registry: OCI distribution-spec 1.1 over files, with a cache mode, authentication and a page to look at."""

"""Images: manifests, configurations, tags, archives."""

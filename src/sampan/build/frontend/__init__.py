"""The Dockerfile front end: stages become a graph, metadata instructions become the image's configuration."""

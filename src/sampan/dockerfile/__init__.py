"""The Dockerfile language: parser, expansion, .dockerignore, lint. Pure, no I/O."""

"""Numbered SQL scripts."""

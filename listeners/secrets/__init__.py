"""Secrets of connections: encrypted in the database, or references that are resolved on use."""

"""Secrets of connections: encrypted in the database, or references that are resolved when used."""

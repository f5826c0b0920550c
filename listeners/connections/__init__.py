"""Logging in with a stored connection and opening streams and REST clients on it."""

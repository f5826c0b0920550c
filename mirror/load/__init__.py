"""Loads an object's records in bulk, and closes the gap between the load and the stream."""

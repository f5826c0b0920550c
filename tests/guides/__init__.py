"""Runs the guides of docs/guides as a reader does: in terminals, from an empty folder."""

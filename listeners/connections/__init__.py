"""A stored connection: its rules, its settings for the wire, and how to log in with it."""

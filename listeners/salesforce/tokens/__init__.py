"""Tokens of a login: where they come from, who renews them, and where they are kept."""

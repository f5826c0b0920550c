"""Periodic checks that open and close incidents."""

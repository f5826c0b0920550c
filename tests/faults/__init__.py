"""Errors raised in the background steps of the running product, and causes of such errors in its
database and its handler modules."""

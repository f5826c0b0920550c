"""Mutation tests: the suite must notice plausible mistakes in the code, made one at a time."""

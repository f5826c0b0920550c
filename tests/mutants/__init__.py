"""Mutation tests: plausible mistakes, one at a time, that the suite has to notice."""

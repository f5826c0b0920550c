"""Bulk API 2.0 query jobs: create, follow, read the results as a stream of rows, delete."""

"""The resources of Bulk API 2.0: query jobs, and their results as CSV."""

"""The steps of a comparison: which entities, which rows, what the log has, what is missing."""

"""Pages of handler mappings: the form, pause and resume."""

"""What happens to mappings: defaults, pause and resume, a new handler, deletion."""

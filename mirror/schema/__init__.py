"""Mirrored models: columns, generated code, and the comparison with the org."""

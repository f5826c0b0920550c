"""Settings that are read from the environment, one module a subject."""

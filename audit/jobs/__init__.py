"""Background jobs: who runs one, how far it is, and how long it will take."""

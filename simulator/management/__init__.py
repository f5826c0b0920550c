"""The command that starts the simulator in a Django project."""

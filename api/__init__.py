"""The REST API: what operators see and do in the console, for programs."""

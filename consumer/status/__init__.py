"""The status of listeners, for the status command, the API, the console and Prometheus."""

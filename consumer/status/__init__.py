"""Read how listeners do: for the status command, the API, the console and Prometheus."""

"""Commands of the REST API."""

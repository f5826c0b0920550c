"""The REST API: records, queries, composite requests and the Tooling API."""

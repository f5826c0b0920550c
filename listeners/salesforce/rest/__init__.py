"""The REST API: a client for records and limits, and simple-salesforce on a connection's token."""

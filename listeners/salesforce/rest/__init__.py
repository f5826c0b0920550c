"""Clients of the REST API: for records and limits, and simple-salesforce for handlers."""

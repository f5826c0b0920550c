"""The record: audit log entries, incidents, quarantined messages and jobs."""

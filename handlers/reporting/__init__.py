"""Read-only reports: backlog, queue coverage, and the export of the audit log."""

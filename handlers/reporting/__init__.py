"""Read-only reports: why a delivery waits, backlog, queue coverage, and the export."""

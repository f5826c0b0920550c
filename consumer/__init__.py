"""What joins listeners, record and handlers: from ingest to reconciliation and configuration."""

"""The audit log: record entries, mask sensitive values, and count throughput."""

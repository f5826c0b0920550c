"""The audit log, incidents, quarantine, the action log, and background jobs."""

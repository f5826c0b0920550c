"""What was recorded: the audit log, incidents, quarantine, the action log, and background jobs."""

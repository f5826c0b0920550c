"""The pages of the audit log: the list with search, filters and export, entries and records."""

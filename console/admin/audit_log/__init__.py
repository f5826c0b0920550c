"""Pages of the audit log: the list, an entry, a record, search, filters and export."""

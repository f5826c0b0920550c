"""Who may do and see what: permissions, and grants on single objects."""

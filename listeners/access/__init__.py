"""Access control: permissions, and grants on single objects."""

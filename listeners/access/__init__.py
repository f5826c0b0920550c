"""Who may do and see what: permissions, grants on single objects, and masked fields."""

"""Access control: permissions, grants on single objects, and masking of sensitive fields."""

"""Pages of connections: the form, its fields, and trying it out before it is saved."""

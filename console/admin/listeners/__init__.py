"""The pages of listeners: create, edit, start and stop them, and see their state."""

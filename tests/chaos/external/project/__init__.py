"""Files of the other project, which are copied out of the repository."""

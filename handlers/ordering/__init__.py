"""Keep the order of each record's changes."""

"""Keep the order of each record's changes, and say why a delivery waits."""

"""Keep each record's changes in order, and explain why a delivery waits."""

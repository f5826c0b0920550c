"""What the org holds: records, their changes in transactions, and the events of them."""

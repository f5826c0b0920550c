"""Create deliveries in a batch's transaction, and publish their messages after the commit."""

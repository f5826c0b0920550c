"""From a batch's transaction to the broker: create deliveries, and publish their messages."""

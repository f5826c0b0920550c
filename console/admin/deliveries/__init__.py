"""Pages of deliveries: the list, dead letters, and sending changes again."""

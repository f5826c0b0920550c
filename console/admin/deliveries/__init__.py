"""The pages of deliveries: the list, dead letters and redelivery."""

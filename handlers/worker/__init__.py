"""Run deliveries in a worker: claim → load → run → settle."""

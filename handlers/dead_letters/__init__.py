"""Dead letters: grouping failed deliveries by error, and dead letters that halt their chain."""

"""Deliveries that failed, grouped by handler and error."""

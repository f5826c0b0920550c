"""Runs one delivery as a worker does."""

from handlers.worker.run import run_deliveries


def run_delivery(delivery_id: int) -> str:
    """Run a delivery once, if it can be claimed, and return its outcome."""
    return run_deliveries([delivery_id])

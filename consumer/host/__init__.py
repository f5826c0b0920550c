"""The listener process: assigns listeners to processes, holds leases, runs and drains listeners."""

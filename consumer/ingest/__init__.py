"""The one transaction that records a batch, moves the position and keeps what is unreadable."""

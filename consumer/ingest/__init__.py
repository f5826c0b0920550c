"""The transaction that records a batch, moves the position and quarantines unreadable messages."""

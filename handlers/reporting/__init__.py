"""Read what becomes of changes: why one waits, backlog, queues that no worker hears, export."""

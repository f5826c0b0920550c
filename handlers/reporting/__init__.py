"""Read what became of changes: backlog, queues that no worker hears, export."""

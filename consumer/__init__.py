"""The listener processes, and what joins listeners, audit log and handlers."""

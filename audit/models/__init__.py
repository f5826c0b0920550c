"""The record: every change that came, what was lost or odd about it, what was unreadable, and how
far its completion is."""

from audit.models.entry import AuditLogEntry
from audit.models.incident import Incident
from audit.models.quarantined import Quarantined
from audit.models.repairs import DirtyRecord, Reconciliation
from audit.models.throughput import Throughput

__all__ = [
    "AuditLogEntry",
    "DirtyRecord",
    "Incident",
    "Quarantined",
    "Reconciliation",
    "Throughput",
]

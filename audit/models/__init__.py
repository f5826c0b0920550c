"""Entries, incidents, quarantine, gaps, reconciliations, operator actions and background jobs."""

from audit.models.entry import AuditLogEntry
from audit.models.incident import Incident
from audit.models.operators import OperatorAction, SavedFilter, Work
from audit.models.received import Quarantined, Throughput
from audit.models.repairs import DirtyRecord, Reconciliation

__all__ = [
    "AuditLogEntry",
    "DirtyRecord",
    "Incident",
    "OperatorAction",
    "Quarantined",
    "Reconciliation",
    "SavedFilter",
    "Throughput",
    "Work",
]

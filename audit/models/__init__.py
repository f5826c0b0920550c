"""Entries, incidents, quarantine, gaps, reconciliations, operator actions and background jobs."""

from audit.models.entry import AuditLogEntry, AuditLogFilter
from audit.models.incident import Incident, Trouble
from audit.models.operators import OperatorAction, SavedFilter, Work
from audit.models.received import Quarantined, Throughput
from audit.models.repairs import DirtyRecord, Reconciliation

__all__ = [
    "AuditLogEntry",
    "AuditLogFilter",
    "DirtyRecord",
    "Incident",
    "OperatorAction",
    "Quarantined",
    "Reconciliation",
    "SavedFilter",
    "Throughput",
    "Trouble",
    "Work",
]

"""Entries, incidents, quarantine, gaps, reconciliations, operator actions and background jobs."""

from audit.models.entry import AuditLogEntry
from audit.models.incident import Incident
from audit.models.operator_action import OperatorAction
from audit.models.quarantined import Quarantined
from audit.models.repairs import DirtyRecord, Reconciliation
from audit.models.saved_filter import SavedFilter
from audit.models.throughput import Throughput
from audit.models.work import Work

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

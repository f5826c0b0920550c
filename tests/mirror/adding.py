"""Makes mirrors for tests, without an org."""

from django.db import transaction
from django.utils import timezone

from audit.models import AuditLogEntry
from mirror import service
from mirror.models import Mirror
from tests.sample_data import ANN


def add(listener, model="crm.Account", **fields) -> Mirror:
    """Store a mirror as the service does, with its mappings and its first load requested."""
    with transaction.atomic():
        return service.store(Mirror(model=model, listener=listener, **fields), ANN)


def logged(mirror, at, change_type="UPDATE", record_id="001000000000001AAA") -> AuditLogEntry:
    """Make an entry of the audit log that was committed at that time and has no deliveries."""
    return AuditLogEntry.objects.create(
        listener=mirror.listener,
        channel="/data/ChangeEvents",
        entity_name=mirror.salesforce_object,
        record_id=record_id,
        change_type=change_type,
        transaction_key="t1",
        sequence_number=1,
        commit_timestamp=round(at.timestamp() * 1000),
        changed_data={},
        received_at=at,
    )


def in_sync(mirror) -> Mirror:
    """End the mirror's first load, as the hand-over does."""
    now = timezone.now()
    mirror.runs.update(state="done", is_right=True, started_at=now, finished_at=now)
    mirror.phase, mirror.in_sync_since = Mirror.Phase.IN_SYNC, now
    mirror.rows_in_salesforce = 0
    mirror.save()
    return mirror

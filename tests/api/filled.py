"""Fills the database with a few rows of each kind that the API shows."""

from django.utils import timezone

from audit.action_log import Action, note
from audit.models import AuditLogEntry, Incident
from handlers.models import Delivery, DeliveryAttempt
from listeners.secrets.encrypted_field import Secret
from tests.sample_data import ANN, make_listener, make_mapping

STATES = ("dead", "succeeded", "skipped", "blocked")


def fill() -> None:
    now = timezone.now()
    for _ in range(2):
        listener = make_listener(sensitive_fields=["Phone"])
        listener.connection.client_secret = Secret.of("env:NOT_IN_THE_ENVIRONMENT")
        listener.connection.save()
        mapping = make_mapping(listener)
        for number, state in enumerate(STATES):
            entry = AuditLogEntry.objects.create(
                listener=listener,
                entity_name="Account",
                record_id=f"00100000000000{number}AAA",
                change_type="UPDATE",
                transaction_key=f"t{number}",
                sequence_number=1,
                commit_timestamp=1_764_000_000_000,
                changed_data={"Phone": "+49 30 1234567", "Name": None},
                received_at=now,
            )
            delivery = Delivery.objects.create(
                entry=entry, mapping=mapping, handler="tests.remember", state=state, created_at=now
            )
            DeliveryAttempt.objects.create(
                delivery=delivery,
                number=1,
                outcome="failed",
                started_at=now,
                finished_at=now,
                error="bad",
            )
        Incident.objects.create(
            listener=listener, kind="gap", summary="gap", opened_at=now, last_seen_at=now
        )
    note(ANN, Action.ADD, listener)

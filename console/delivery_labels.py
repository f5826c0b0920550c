"""Coloured labels of deliveries and attempts: red for dead, orange for retrying."""

from django.utils.safestring import SafeString

from console.labels import label
from handlers.models import Delivery, DeliveryAttempt

State = Delivery.State
Outcome = DeliveryAttempt.Outcome

STATE_VARIANTS = {
    State.BLOCKED: "",
    State.READY: "",
    State.QUEUED: "info",
    State.RUNNING: "primary",
    State.SUCCEEDED: "success",
    State.SKIPPED: "",
    State.RETRYING: "warning",
    State.DEAD: "danger",
    State.SENT: "success",
}
OUTCOME_VARIANTS = {
    Outcome.SUCCEEDED: "success",
    Outcome.SKIPPED: "",
    Outcome.FAILED: "danger",
    Outcome.RETRY: "warning",
    Outcome.LOST: "danger",
}


def state_label(state: str, *, title: str = "") -> SafeString:
    known = State(state)
    return label(known.label, STATE_VARIANTS[known], title=title)


def outcome_label(outcome: str) -> SafeString:
    known = Outcome(outcome)
    return label(known.label, OUTCOME_VARIANTS[known])

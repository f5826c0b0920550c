"""Coloured labels of states and kinds (red: dead, orange: retrying), and timestamps."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.contrib import admin
from django.template.loader import render_to_string
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timezone import localtime

from handlers.models import Delivery, DeliveryAttempt

State = Delivery.State
Outcome = DeliveryAttempt.Outcome

CHANGE_VARIANTS = {
    "CREATE": "success",
    "UPDATE": "info",
    "DELETE": "danger",
    "UNDELETE": "primary",
}

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
    Outcome.UNKNOWN: "warning",
}


# The rows of a list repeat the same few labels.
@lru_cache(maxsize=1024)
def label(text: str, variant: str = "", *, href: str = "", title: str = "") -> SafeString:
    """Return the label as HTML. The text is escaped: it may come from outside."""
    return render_to_string(
        "unfold/helpers/label.html",
        {"text": text, "type": variant, "href": href, "label_title": title},
    )


def change_type_label(change_type: str) -> SafeString:
    """Return the label of a change type: orange for gaps, overflows and unknown types."""
    return label(change_type, CHANGE_VARIANTS.get(change_type, "warning"))


def state_label(state: str, *, title: str = "") -> SafeString:
    known = State(state)
    return label(known.label, STATE_VARIANTS[known], title=title)


def outcome_label(outcome: str) -> SafeString:
    known = Outcome(outcome)
    return label(known.label, OUTCOME_VARIANTS[known])


def joined(labels: Sequence[str]) -> SafeString:
    return format_html_join(" ", "{}", ((text,) for text in labels))


def moment_column(field: str, description: str) -> Callable[[Any, Any], SafeString | str]:
    """Return the column of a list that shows the time in a field; a method of the admin class."""

    @admin.display(description=description)
    def column(page: Any, row: Any) -> SafeString | str:
        return moment(getattr(row, field))

    return column


def moment(when: datetime | None) -> SafeString | str:
    """Return the time to the second, without a line break."""
    if when is None:
        return "-"
    return format_html(
        '<span class="whitespace-nowrap">{}</span>', f"{localtime(when):%Y-%m-%d %H:%M:%S}"
    )

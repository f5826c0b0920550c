"""The pages of quarantined messages, where an operator retries reading them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import RelatedDropdownFilter

from audit.action_log import Actor
from audit.log.masking import Sight
from audit.models import Quarantined
from console.admin.read_only import ReadOnlyAdmin, StateFilter
from console.labels import label, moment_column
from consumer.ingest.quarantine_retry import StillUnreadable, ingest_again
from listeners.access.permissions import READ_AGAIN, may

#: Characters of a raw message that a page shows.
SHOWN = 100_000
#: The most messages retried in one request.
MOST_AT_ONCE = 1000
#: The most messages named that still cannot be read.
MOST_NAMED = 5


class UnreadFilter(StateFilter):
    field = "ingested_at"
    states = (("unread", "Unread"), ("read", "Recovered"))


class QuarantinedAdmin(ReadOnlyAdmin):
    actions = ("read_again",)
    list_display = ("received", "state", "listener", "channel", "replay_id", "error")
    list_filter = (UnreadFilter, ("listener", RelatedDropdownFilter))
    empty_title = "Nothing in quarantine"
    empty_text = "Messages from Salesforce that cannot be read are kept here, to be retried."
    list_select_related = ("listener",)
    change_form_outer_before_template = "console/quarantined.html"
    received = moment_column("received_at", "received")

    def has_read_permission(self, request: HttpRequest) -> bool:
        return may(request.user, READ_AGAIN)

    @admin.display(description="state")
    def state(self, quarantined: Quarantined) -> SafeString:
        if quarantined.ingested_at:
            return label("recovered", "success")
        return label("answer", "warning") if quarantined.is_answer else label("unread", "danger")

    @admin.action(description="Retry the selected messages", permissions=["read"])
    def read_again(self, request: HttpRequest, quarantined: QuerySet[Quarantined]) -> HttpResponse:
        ids = list(quarantined.order_by("id").values_list("pk", flat=True)[: MOST_AT_ONCE + 1])
        read, changes, unread = 0, 0, list[str]()
        for message in (
            Quarantined.objects.filter(pk__in=ids[:MOST_AT_ONCE]).defer("raw").order_by("id")
        ):
            try:
                changes += ingest_again(message, Actor.in_console(request), timezone.now())
            except StillUnreadable as error:
                unread.append(f"Message {message.pk}: {error}")
                continue
            read += 1
        if read:
            messages.success(request, f"Messages read: {read}. Changes recorded: {changes}.")
        for text in unread[:MOST_NAMED]:
            messages.warning(request, text)
        if len(unread) > MOST_NAMED:
            messages.warning(request, f"{len(unread) - MOST_NAMED} more cannot be read.")
        if len(ids) > MOST_AT_ONCE:
            messages.info(
                request,
                f"Only the first {MOST_AT_ONCE} were retried. Run the action again for more.",
            )
        return self.back(request)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Quarantined]:
        quarantined: QuerySet[Quarantined] = super().get_queryset(request)
        return quarantined.defer("raw")  # a message may be megabytes long

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        return super().page_context(request, obj) | {
            "quarantined": obj,
            "is_hidden": Sight.in_console(request.user).hides_raw(obj.listener),
            "raw": obj.raw[:SHOWN],
            "is_cut": len(obj.raw) > SHOWN,
            "length": len(obj.raw),
            "can_read": self.has_read_permission(request),
        }

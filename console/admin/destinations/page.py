"""The pages of destinations, with a test of the settings in the form before they are saved."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.safestring import SafeString

from audit.action_log import Actor
from audit.models import Incident
from console import links
from console.admin.destinations.form import DestinationForm
from console.admin.settings_tests import SettingsTestAdmin
from console.labels import label
from consumer.diagnostics.destination_check import checked
from consumer.diagnostics.findings import Finding
from consumer.monitoring.destinations import KIND, down
from handlers.models import Destination
from handlers.models.destination import HOW_TO_FREE
from listeners.secrets.encrypted_field import described


class DestinationAdmin(SettingsTestAdmin):
    form = DestinationForm
    list_display = ("name", "state", "broker_address", "results", "mapping_count")
    search_fields = ("name",)
    empty_title = "No destinations yet"
    empty_text = (
        "A destination is the broker of another Celery project. Handler mappings send that "
        "project's tasks to it; without a destination, tasks go to this project's broker."
    )
    fieldsets = (
        (None, {"fields": ("name",)}),
        (
            "Broker",
            {
                "description": "URLs are encrypted in the database and never shown.",
                "fields": ("broker", "ca_certificate"),
            },
        ),
        (
            "Errors of failed tasks",
            {
                "description": "That a task failed is reported without these. They add its error "
                "and traceback to the delivery.",
                "fields": ("result_backend", "worker_events"),
            },
        ),
    )
    change_form_outer_before_template = "console/destination_down.html"
    change_form_after_template = "console/destination_test.html"
    offers_bulk_deletion = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Destination]:
        rows: QuerySet[Destination] = super().get_queryset(request)
        used = Count("mappings", filter=Q(mappings__deleted_at=None))
        incidents = Incident.objects.opened().filter(kind=KIND, key=OuterRef("name"))
        summary = Subquery(incidents.values("summary")[:1])
        return rows.annotate(mapping_count=used, down_because=summary)

    # Columns

    @admin.display(description="broker")
    def broker_address(self, destination: Destination) -> str:
        return destination.address

    @admin.display(description="state")
    def state(self, destination: Any) -> SafeString:
        reason = destination.down_because
        return label("down", "danger", title=reason) if reason else label("up", "success")

    @admin.display(description="result backend")
    def results(self, destination: Destination) -> str:
        return described(destination.result_backend)

    @admin.display(description="mappings", ordering="mapping_count")
    def mapping_count(self, destination: Any) -> int:
        return int(destination.mapping_count)

    # The page

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        return super().page_context(request, obj) | {
            "down": down().get(obj.name) if obj else None,
            "users": list(obj.mappings.select_related("listener")) if obj else [],
        }

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Refuse to delete a destination that mappings use."""
        destination = self.get_object(request, object_id)
        may_delete = destination and self.has_delete_permission(request, destination)
        if destination and may_delete and (users := destination.users()):
            text = f"{destination} is in use: {'; '.join(users)}. {HOW_TO_FREE}"
            messages.error(request, text)
            return HttpResponseRedirect(links.destination(destination.pk))
        response: HttpResponse = super().delete_view(request, object_id, extra_context)
        return response

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Return the destination alone: its `delete` takes it from emptied mappings first, which
        Django would take for a reason to refuse."""
        return (
            [str(obj) for obj in objs],
            {str(self.opts.verbose_name_plural): len(objs)},
            set(),
            [],
        )

    # The test

    def test_stored(self, request: HttpRequest, stored: Destination) -> Iterable[Finding]:
        return checked(stored, Actor.in_console(request))

    def test_entered(
        self, request: HttpRequest, form: Any, stored: Destination | None
    ) -> Iterable[Finding]:
        changed = tuple(form.changed_data) if stored else ()
        is_saved = stored is not None and not changed
        by = Actor.in_console(request)
        return checked(form.instance, by, changed=changed, is_saved=is_saved)

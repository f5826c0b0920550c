"""The pages of destinations, with a test of the settings in the form before they are saved."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.forms.widgets import Script
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from audit.action_log import Actor
from audit.models import Incident
from console import links
from console.admin.base import LoggedAdmin
from console.admin.connections.check_stream import answer, flaws
from console.admin.destinations.form import DestinationForm
from console.labels import label
from consumer.diagnostics.destination_check import checked
from consumer.monitoring.destinations import KIND, down
from handlers.models import Destination
from handlers.models.destination import HOW_TO_FREE
from listeners.access.permissions import OPERATE, may
from listeners.secrets.encrypted_field import described

_SECRETS = tuple(Destination.SECRETS)


class DestinationAdmin(LoggedAdmin):
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
    pages = (("test/", "try_new", "try_new"), ("<int:pk>/test/", "try", "try_stored"))

    class Media:
        css: ClassVar = {"all": ["console/connecting.css"]}
        js: ClassVar = [Script("console/trial.js", defer=True)]

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

    @method_decorator(sensitive_post_parameters(*_SECRETS))
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response: HttpResponse = super().changeform_view(request, *args, **kwargs)
        return response

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        return super().page_context(request, obj) | {
            "test_url": self._test_url(request, obj),
            "test_is_of_what_is_stored": obj and not self.has_change_permission(request, obj),
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

    def get_actions(self, request: HttpRequest, action_location: Any = None) -> Any:
        """Remove bulk deletion: the page of a destination says what uses it."""
        place = {"action_location": action_location} if action_location else {}  # Django 6.1
        actions = super().get_actions(request, **place)
        actions.pop("delete_selected", None)
        return actions

    # The test

    @method_decorator((require_POST, sensitive_post_parameters(*_SECRETS)))
    def try_new(self, request: HttpRequest) -> HttpResponseBase:
        if not self.has_add_permission(request):
            raise PermissionDenied
        return self._tried(request, None)

    @method_decorator((require_POST, sensitive_post_parameters(*_SECRETS)))
    def try_stored(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """Test the entered settings, or the stored ones for a user who may not change them."""
        stored = self.row(request, str(pk))
        if not self._may_try(request, stored):
            raise PermissionDenied
        if self.has_change_permission(request, stored):
            return self._tried(request, stored)
        return answer(checked(stored, Actor.in_console(request)))

    def _tried(self, request: HttpRequest, stored: Destination | None) -> HttpResponseBase:
        entered = Destination.objects.get(pk=stored.pk) if stored else Destination()
        form_class = self.get_form(request, stored, change=stored is not None)
        form = form_class(request.POST, instance=entered)
        if found := flaws(form, ignoring=("name",)):
            return answer(found)
        changed = tuple(form.changed_data) if stored else ()
        is_saved = stored is not None and not changed
        by = Actor.in_console(request)
        return answer(checked(entered, by, changed=changed, is_saved=is_saved))

    def _may_try(self, request: HttpRequest, destination: Destination) -> bool:
        if self.has_change_permission(request, destination):
            return True
        return self.has_view_permission(request, destination) and may(request.user, OPERATE)

    def _test_url(self, request: HttpRequest, destination: Destination | None) -> str:
        """Return the address of the test; empty for a user who may not run it."""
        if destination is None:
            return reverse("admin:handlers_destination_try_new")
        if self._may_try(request, destination):
            return reverse("admin:handlers_destination_try", args=[destination.pk])
        return ""

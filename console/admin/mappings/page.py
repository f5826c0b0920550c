"""The pages of handler mappings: which changes of a listener go to which handler or task."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.forms.widgets import Script
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import RelatedDropdownFilter

from console import links
from console.admin.mappings.form import VISIBILITY, HandlerMappingForm, unused_fields
from console.admin.mappings.pause import PausingAdmin, pause_label
from console.designer import mapping_page
from console.labels import joined, label
from handlers.checks import unregistered_message
from handlers.external.inspection import TaskCheck, survey
from handlers.mappings import retarget
from handlers.models import HandlerMapping
from handlers.sdk import registry


class HandlerMappingAdmin(PausingAdmin):
    """A handler mapping with a preview of the changes that it would match."""

    form = HandlerMappingForm
    list_display = ("event", "entity", "listener", "target", "ordering", "queue")
    list_display_links = ("event", "entity")
    list_filter = (("listener", RelatedDropdownFilter), "on")
    list_select_related = ("listener", "destination")
    offers_bulk_deletion = False
    empty_title = "No handler mappings yet"
    empty_text = (
        "A handler mapping sends a listener's changes to a handler or a Celery task. Every new "
        "listener starts with four: create, update, delete and restore."
    )
    search_fields = ("name", "entity", "handler", "task")
    search_help_text = "Name, entity, handler or task"
    fieldsets = (
        (
            "Which changes",
            {"fields": ("listener", "name", "on", "entity", "changed_fields", "condition")},
        ),
        (
            "Handler",
            {
                "fields": (
                    *("handler", "task", "allow_unknown_task", "destination", "track"),
                    *("report_timeout", "on_unknown", "options", "after"),
                )
            },
        ),
        ("Ordering and retries", {"fields": ("ordering", "on_dead", "max_attempts", "queue")}),
        (
            "Ignore our own writes",
            {
                "description": "Writes of a handler to Salesforce come back as changes. These are "
                "recorded as skipped.",
                "fields": ("ignore_origins", "ignore_users"),
            },
        ),
    )
    conditional_fields = VISIBILITY
    condition_field = "task"
    change_form_outer_before_template = "console/designer/mapping.html"
    change_form_after_template = "console/designer/preview_area.html"
    delete_confirmation_template = "console/designer/delete_mapping.html"
    pages = (
        ("add/preview/", "preview", "preview"),
        ("<path:object_id>/preview/", "preview", "preview"),
    )

    class Media:
        css: ClassVar = {"all": ["console/designer.css", "console/condition.css"]}
        js: ClassVar = [
            Script("console/condition.js", defer=True),
            Script("console/preview.js", defer=True),
        ]

    # Columns

    @admin.display(description="on", ordering="on")
    def event(self, mapping: HandlerMapping) -> str:
        return str(mapping.get_on_display())

    @admin.display(description="handler or task", ordering="handler")
    def target(self, mapping: HandlerMapping) -> SafeString | str:
        marks = [pause_label(mapping)] if mapping.paused_at else []
        if mapping.destination:
            marks.append(label(f"on {mapping.destination}", title="The destination of the task."))
        if mapping.task and not mapping.track:
            marks.append(label("not tracked", title="Its deliveries end as sent."))
        if mapping.managed:
            marks.append(label("mirror", title="Belongs to a mirror, and is not edited."))
        if mapping.handler and registry.find(mapping.handler) is None:
            title = unregistered_message(mapping.handler)
            marks.append(label("not registered", "warning", title=title))
        return joined([mapping.handler or mapping.task or "recorded only", *marks])

    # The page

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Mappings of mirrors are created and deleted with their mirror alone."""
        return not _is_managed(obj) and bool(super().has_change_permission(request, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return not _is_managed(obj) and bool(super().has_delete_permission(request, obj))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("listener",) if obj else ()

    def get_fieldsets(self, request: HttpRequest, obj: HandlerMapping | None = None) -> Any:
        """Show a read-only user the fields alone that have an effect."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or self.has_change_permission(request, obj):
            return fieldsets
        unused = unused_fields({"task": obj.task, "track": obj.track})
        return [
            (
                title,
                {**options, "fields": [name for name in options["fields"] if name not in unused]},
            )
            for title, options in fieldsets
        ]

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Ask the workers about a new or changed task before the transaction that saves it."""
        if request.method == "POST":
            stored = self.get_object(request, object_id) if object_id else None
            if self._may_save(request, stored):
                form = self.get_form(request, stored, change=bool(stored))
                checked = _task_check(form(request.POST, instance=stored))
                request.task_check = checked  # type: ignore[attr-defined]
        response: HttpResponse = super().changeform_view(request, object_id, *args, **kwargs)
        return response

    def _may_save(self, request: HttpRequest, stored: HandlerMapping | None) -> bool:
        if stored is None:
            return bool(self.has_add_permission(request))
        return self.has_change_permission(request, stored)

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Remove unfold's menu to add or change the listener or the destination."""
        form = super().get_form(request, *args, **kwargs)
        form.task_check = getattr(request, "task_check", TaskCheck())
        for name in form.base_fields.keys() & {"listener", "destination"}:
            for verb in ("add", "change", "delete", "view"):
                setattr(form.base_fields[name].widget, f"can_{verb}_related", False)
        if destination := form.base_fields.get("destination"):
            destination.empty_label = "The broker of this project"
        return form

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        return super().page_context(request, obj) | mapping_page.context(request, obj)

    @method_decorator([require_POST, gzip_page])
    def preview(self, request: HttpRequest, object_id: str | None = None) -> HttpResponse:
        """Return which recent changes the unsaved form would match."""
        if not mapping_page.may_preview(request):
            raise PermissionDenied
        mapping = self.row(request, object_id) if object_id else None
        if mapping and not self.has_change_permission(request, mapping):
            if not self.has_view_permission(request, mapping):
                raise PermissionDenied
            return mapping_page.preview_of(request, mapping)  # as saved
        if not mapping and not self.has_add_permission(request):
            raise PermissionDenied
        form_class = self.get_form(request, mapping, change=bool(mapping))
        form = form_class(request.POST, instance=mapping)
        if not form.is_valid():
            return mapping_page.refused(request, form)
        return mapping_page.preview_of(request, form.instance)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        mapping = self.get_object(request, object_id)
        context = dict(extra_context or {})
        if mapping and request.method != "POST":
            context |= mapping_page.context(request, mapping)
        response: HttpResponse = super().delete_view(request, object_id, context)
        if mapping and isinstance(response, HttpResponseRedirect):
            return HttpResponseRedirect(links.listener(mapping.listener_id))
        return response

    def save_model(
        self, request: HttpRequest, obj: HandlerMapping, form: Any, change: bool
    ) -> None:
        super().save_model(request, obj, form, change)
        if form.task_check.text:
            messages.warning(request, form.task_check.text)
        if not change or not retarget.ADDRESS.intersection(form.changed_data):
            return
        if moved := retarget.move_waiting(obj, timezone.now()):
            verb = "moves" if moved == 1 else "move"
            text = f"{retarget.shown(moved)} {verb} to {obj.handler or obj.task}."
            messages.info(request, text)

    # Back to the listener's page

    def response_post_save_add(self, request: HttpRequest, obj: HandlerMapping) -> HttpResponse:
        return HttpResponseRedirect(links.listener(obj.listener_id))

    def response_post_save_change(self, request: HttpRequest, obj: HandlerMapping) -> HttpResponse:
        return HttpResponseRedirect(links.listener(obj.listener_id))


def _task_check(form: HandlerMappingForm) -> TaskCheck:
    """Return what the workers know about the posted task; nothing if it is the stored one."""
    form.full_clean()
    task, queue = (form.cleaned_data.get(name) or "" for name in ("task", "queue"))
    is_stored = form.instance.pk and {"task", "queue", "destination"}.isdisjoint(form.changed_data)
    if not task or is_stored:
        return TaskCheck()
    return survey(form.cleaned_data.get("destination")).check(task, queue)


def _is_managed(mapping: Any) -> bool:
    return bool(getattr(mapping, "managed", False))

"""The pages of mirrors: the list with states, and a page with rows, runs and differences."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.forms.widgets import Script
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import RelatedDropdownFilter

from audit.action_log import Actor
from console import links
from console.admin.base import LoggedAdmin
from console.admin.check_stream import answer, flaws
from console.admin.mirrors.form import MirrorForm
from console.admin.mirrors.runs import RunningAdmin
from console.admin.mirrors.state import count, mirror_state, state_label
from console.labels import moment
from consumer.diagnostics.findings import within
from consumer.diagnostics.mirror_check import check_mirror
from listeners.access.permissions import OPERATE, may
from mirror import service
from mirror.models import Mirror
from mirror.requirements import Refused, check_local, check_org
from mirror.status import MirrorStatus, status_of

_SECONDS = 25.0
_SETTINGS = ("model", "listener", "database", "deletes", "verify")


class MirrorAdmin(RunningAdmin):
    form = MirrorForm
    list_display = ("model", "object", "state", "here", "there", "as_of", "verified", "differ")
    list_filter = (("listener", RelatedDropdownFilter),)
    list_select_related = ("listener", "listener__position")
    offers_bulk_deletion = False
    empty_title = "No mirrors yet"
    empty_text = (
        "A mirror keeps a Django model equal to a Salesforce object: loaded once, changed within "
        "seconds, and compared on a schedule. Generate models with manage.py inspect_salesforce."
    )
    search_fields = ("model", "salesforce_object")
    fieldsets = (
        (None, {"fields": ("model", "listener", "database")}),
        ("Deletions and verification", {"fields": ("deletes", "verify")}),
    )
    add_form_template = "console/mirrors/add.html"
    change_form_outer_before_template = "console/mirrors/page.html"
    delete_confirmation_template = "console/mirrors/delete.html"
    change_list_template = "console/mirrors/list.html"
    pages = (
        ("rows/", "rows", "rows"),
        ("check/", "check", "check_view"),
        ("<int:pk>/parts/", "parts", "parts"),
        ("<int:pk>/load/", "load", "load_view"),
        ("<int:pk>/request/<slug:what>/", "request", "request_view"),
        ("<int:pk>/runs/<int:run>/cancel/", "cancel", "cancel_view"),
    )

    class Media:
        js: ClassVar = [
            Script("console/refresh.js", defer=True),
            Script("console/trial.js", defer=True),
        ]
        css: ClassVar = {"all": ["console/work.css", "console/connecting.css"]}

    def rows(self, request: HttpRequest) -> HttpResponse:
        """Render the list's table alone, for `refresh.js`."""
        response: HttpResponse = self.changelist_view(request)
        if isinstance(response, TemplateResponse):
            response.template_name = "console/mirrors/list_rows.html"
            response.headers["Cache-Control"] = "no-store"
        return response

    # Columns

    @admin.display(description="object", ordering="salesforce_object")
    def object(self, mirror: Mirror) -> str:
        return str(mirror.salesforce_object)

    @admin.display(description="state")
    def state(self, mirror: Mirror) -> SafeString:
        return state_label(_status(mirror))

    @admin.display(description="rows")
    def here(self, mirror: Mirror) -> str:
        return count(_status(mirror).rows)

    @admin.display(description="in Salesforce", ordering="rows_in_salesforce")
    def there(self, mirror: Mirror) -> str:
        return count(_status(mirror).rows_in_salesforce)

    @admin.display(description="in sync as of")
    def as_of(self, mirror: Mirror) -> SafeString | str:
        return moment(_status(mirror).in_sync_as_of)

    @admin.display(description="last verification", ordering="last_verified_at")
    def verified(self, mirror: Mirror) -> SafeString | str:
        return moment(mirror.last_verified_at)

    @admin.display(description="differences")
    def differ(self, mirror: Mirror) -> str:
        return count(_status(mirror).differences)

    # The page

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("model", "listener", "database") if obj else ()

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Remove unfold's menu to add or change the listener, and pass on the org's refusal."""
        form = super().get_form(request, *args, **kwargs)
        if listener := form.base_fields.get("listener"):
            for verb in ("add", "change", "delete", "view"):
                setattr(listener.widget, f"can_{verb}_related", False)
        form.refused = getattr(request, "mirror_refused", None)
        return form

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        context = super().page_context(request, obj)
        if obj is None:
            return context | {"test_url": reverse("admin:mirror_mirror_check")}
        operates = may(request.user, OPERATE)
        return context | mirror_state(obj, timezone.now(), request, operates=operates)

    def parts(self, request: HttpRequest, pk: int) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = Mirror.objects.select_related("listener")
        context = self.page_context(request, get_object_or_404(rows, pk=pk))
        return self.fragment(request, "console/mirrors/parts.html", context)

    # Adding

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask the org for the object before the transaction that stores the mirror."""
        if request.method == "POST" and self.has_add_permission(request):
            wanted = Mirror()
            form = self.get_form(request)(request.POST, instance=wanted)
            try:
                if form.is_valid():
                    check_org(wanted.listener, check_local(wanted))
            except Refused as refused:
                request.mirror_refused = refused  # type: ignore[attr-defined]
        return super().add_view(request, form_url, extra_context)

    @method_decorator(require_POST)
    def check_view(self, request: HttpRequest) -> HttpResponseBase:
        """Stream the findings about the mirror in the form, which is not saved."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        wanted = Mirror()
        form = self.get_form(request)(request.POST, instance=wanted)
        if found := flaws(form):
            return answer(found)
        return answer(within(check_mirror(wanted), _SECONDS))

    def save_model(self, request: HttpRequest, obj: Mirror, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
        else:
            service.store(obj, Actor.in_console(request))

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """The service has written the action log."""
        return super(LoggedAdmin, self).log_addition(request, obj, message)

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: str | None = None
    ) -> HttpResponse:
        messages.success(request, f"{obj} is a mirror now. Its first load begins within seconds.")
        return HttpResponseRedirect(links.mirror(obj.pk))

    # Removing

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Name the mirror alone: its runs and the records to read again may be many."""
        protected = [str(mapping) for mirror in objs for mapping in service.following(mirror)]
        return [str(mirror) for mirror in objs], {"mirrors": len(objs)}, set(), protected

    def delete_model(self, request: HttpRequest, obj: Mirror) -> None:
        service.remove(obj, Actor.in_console(request))

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        """The service writes the action log."""
        return super(LoggedAdmin, self).log_deletions(request, queryset)


def _status(mirror: Any) -> MirrorStatus:
    """Return the status of a row of the list, read once."""
    if not hasattr(mirror, "shown_status"):
        mirror.shown_status = status_of(mirror, timezone.now())
    found: MirrorStatus = mirror.shown_status
    return found

"""The base class of pages whose settings are tested before they are saved."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from django.core.exceptions import PermissionDenied
from django.forms.widgets import Script
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from console.admin.base import LoggedAdmin
from console.admin.check_stream import answer, flaws
from consumer.diagnostics.findings import Finding
from listeners.access.permissions import OPERATE, may


class SettingsTestAdmin(LoggedAdmin):
    """A page with a test of the entered settings, or of the stored ones for a user who may not
    change them."""

    pages = (("test/", "try_new", "try_new"), ("<int:pk>/test/", "try", "try_stored"))

    class Media:
        css: ClassVar = {"all": ["console/connecting.css"]}
        js: ClassVar = [Script("console/trial.js", defer=True)]

    def test_stored(self, request: HttpRequest, stored: Any) -> Iterable[Finding]:
        """Test the settings of a row as they are stored."""
        raise NotImplementedError

    def test_entered(self, request: HttpRequest, form: Any, stored: Any) -> Iterable[Finding]:
        """Test the settings of a valid form; `stored` is None for a new row."""
        raise NotImplementedError

    @method_decorator(sensitive_post_parameters())
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response: HttpResponse = super().changeform_view(request, *args, **kwargs)
        return response

    @method_decorator((require_POST, sensitive_post_parameters()))
    def try_new(self, request: HttpRequest) -> HttpResponseBase:
        if not self.has_add_permission(request):
            raise PermissionDenied
        return self._tried(request, None)

    @method_decorator((require_POST, sensitive_post_parameters()))
    def try_stored(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        stored = self.row(request, str(pk))
        if not self._may_try(request, stored):
            raise PermissionDenied
        if self.has_change_permission(request, stored):
            return self._tried(request, stored)
        return answer(self.test_stored(request, stored))

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        return super().page_context(request, obj) | {
            "test_url": self._test_url(request, obj),
            "test_is_of_what_is_stored": obj and not self.has_change_permission(request, obj),
        }

    def _tried(self, request: HttpRequest, stored: Any) -> HttpResponseBase:
        entered = self.model._default_manager.get(pk=stored.pk) if stored else self.model()
        form_class = self.get_form(request, stored, change=stored is not None)
        form = form_class(request.POST, instance=entered)
        return answer(flaws(form, ignoring=("name",)) or self.test_entered(request, form, stored))

    def _may_try(self, request: HttpRequest, stored: Any) -> bool:
        if self.has_change_permission(request, stored):
            return True
        return self.has_view_permission(request, stored) and may(request.user, OPERATE)

    def _test_url(self, request: HttpRequest, stored: Any) -> str:
        """Return the address of the test; empty for a user who may not run it."""
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}"
        if stored is None:
            return reverse(f"{name}_try_new")
        return reverse(f"{name}_try", args=[stored.pk]) if self._may_try(request, stored) else ""

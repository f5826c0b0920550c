"""The URLs of the console and the API. `cdcproject.web.probes` answers those of the probes."""

from django.contrib import admin
from django.shortcuts import redirect
from django.templatetags.static import static
from django.urls import include, path
from django.views.generic import RedirectView

from cdcproject.web.login_throttle import PasswordChange
from console.apps import register_pages
from console.home.page import fragment

register_pages()

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    # Browsers request it for pages outside the console, such as error pages.
    path("favicon.ico", lambda _: redirect(static("console/icon.svg"))),
    path("admin/password_change/", admin.site.admin_view(PasswordChange.as_view())),
    path("admin/home/", admin.site.admin_view(fragment), name="home-fragment"),
    path("admin/", admin.site.urls),
    path("api/", include("api.urls")),
]

"""All addresses: the admin, the API, health and metrics."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from cdcproject import health
from consumer.home.page import fragment

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/home/", admin.site.admin_view(fragment), name="home-fragment"),
    path("admin/", admin.site.urls),
    path("api/", include("api.urls")),
    path("healthz/live", health.live),
    path("healthz/ready", health.ready),
    path("metrics", health.metrics),
]

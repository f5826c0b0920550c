"""All addresses: the admin, health and metrics."""

from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

from cdcproject import health

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("healthz/live", health.live),
    path("healthz/ready", health.ready),
    path("metrics", health.metrics),
]

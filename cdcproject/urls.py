"""All addresses: the admin, the API, health and metrics."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from cdcproject import health

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("api/", include("api.urls")),
    path("healthz/live", health.live),
    path("healthz/ready", health.ready),
    path("metrics", health.metrics),
]

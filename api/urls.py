"""The addresses of the API, below /api/."""

from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.routers import DefaultRouter

from api.actions import ActionViewSet
from api.audit_log import AuditLogViewSet
from api.connections import ConnectionViewSet
from api.deliveries import DeliveryViewSet
from api.incidents import IncidentViewSet
from api.listeners import ListenerViewSet
from api.mappings import MappingViewSet
from api.redeliveries import RedeliveryViewSet
from api.status import StatusViewSet
from api.views import NowhereView


class Router(DefaultRouter):
    include_format_suffixes = False


router = Router()
router.register("connections", ConnectionViewSet)
router.register("listeners", ListenerViewSet)
router.register("handler-mappings", MappingViewSet)
router.register("audit-log", AuditLogViewSet)
router.register("deliveries", DeliveryViewSet)
router.register("redeliveries", RedeliveryViewSet)
router.register("incidents", IncidentViewSet)
router.register("actions", ActionViewSet)

urlpatterns = [
    path("v1/", include(router.urls)),
    path("v1/status/", StatusViewSet.as_view({"get": "retrieve"})),
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path("docs/", SpectacularSwaggerSplitView.as_view(url_name="schema")),
    # With a slash at its end only: an address that lacks it alone is still led to the right one.
    re_path(r"^([\s\S]*/)?\Z", NowhereView.as_view()),
]

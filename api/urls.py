"""The URLs of the API, below /api/."""

from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.routers import DefaultRouter

from api.protocol.views import NowhereView
from api.resources.actions import ActionViewSet
from api.resources.audit_log import AuditLogViewSet
from api.resources.connections import ConnectionViewSet
from api.resources.deliveries import DeliveryViewSet
from api.resources.destinations import DestinationViewSet
from api.resources.incidents import IncidentViewSet
from api.resources.listeners import ListenerViewSet
from api.resources.mappings import MappingViewSet
from api.resources.mirrors import MirrorViewSet
from api.resources.redeliveries import RedeliveryViewSet
from api.resources.status import StatusViewSet


class Router(DefaultRouter):
    include_format_suffixes = False


router = Router()
router.register("connections", ConnectionViewSet)
router.register("listeners", ListenerViewSet)
router.register("handler-mappings", MappingViewSet)
router.register("mirrors", MirrorViewSet)
router.register("destinations", DestinationViewSet)
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
    # Only paths with a final slash, so that Django can redirect those that lack it.
    re_path(r"^([\s\S]*/)?\Z", NowhereView.as_view()),
]

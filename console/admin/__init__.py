"""The admin pages; the one admin class of each model is registered here."""

import django.contrib.auth.admin  # noqa: F401  registers a page that is replaced here
import rest_framework.authtoken.admin  # noqa: F401  the same
from django.contrib import admin
from django.contrib.auth.models import Group
from rest_framework.authtoken.models import TokenProxy

from api.models import ApiToken
from audit.models import AuditLogEntry, Incident, OperatorAction, Quarantined, Reconciliation, Work
from console.admin.action_log import OperatorActionAdmin
from console.admin.api_tokens import ApiTokenAdmin
from console.admin.audit_log.page import AuditLogAdmin
from console.admin.connections.page import ConnectionAdmin
from console.admin.deliveries.page import DeliveryAdmin
from console.admin.deliveries.redelivery_page import RedeliveryAdmin
from console.admin.destinations.page import DestinationAdmin
from console.admin.incidents import IncidentAdmin
from console.admin.jobs import ReconciliationAdmin, WorkAdmin
from console.admin.listeners.page import ListenerAdmin
from console.admin.mappings.page import HandlerMappingAdmin
from console.admin.mirrors.lists import DifferenceAdmin, MirrorRunAdmin
from console.admin.mirrors.page import MirrorAdmin
from console.admin.quarantine import QuarantinedAdmin
from console.admin.users import GroupAdmin
from console.admin.workers import WorkerAdmin
from handlers.models import Delivery, Destination, HandlerMapping, Redelivery, Worker
from listeners.models import Connection, Listener
from mirror.models import Difference, Mirror, MirrorRun

admin.site.index_template = "console/home.html"
admin.site.unregister(Group)
# The list of Django REST framework's own tokens would show the keys.
admin.site.unregister(TokenProxy)

admin.site.register(Connection, ConnectionAdmin)
admin.site.register(Listener, ListenerAdmin)
admin.site.register(HandlerMapping, HandlerMappingAdmin)
admin.site.register(Destination, DestinationAdmin)
admin.site.register(Mirror, MirrorAdmin)
admin.site.register(MirrorRun, MirrorRunAdmin)
admin.site.register(Difference, DifferenceAdmin)
admin.site.register(AuditLogEntry, AuditLogAdmin)
admin.site.register(Delivery, DeliveryAdmin)
admin.site.register(Redelivery, RedeliveryAdmin)
admin.site.register(Incident, IncidentAdmin)
admin.site.register(Quarantined, QuarantinedAdmin)
admin.site.register(OperatorAction, OperatorActionAdmin)
admin.site.register(Work, WorkAdmin)
admin.site.register(Reconciliation, ReconciliationAdmin)
admin.site.register(Worker, WorkerAdmin)
admin.site.register(ApiToken, ApiTokenAdmin)
admin.site.register(Group, GroupAdmin)

"""What joins listeners, the record and handlers on one page is registered here, on top."""

from django.contrib import admin

from audit.models import AuditLogEntry, Reconciliation, Work
from console.admin.audit_log.page import AuditLogAdmin
from console.admin.deliveries.page import DeliveryAdmin
from console.admin.deliveries.redelivery_page import RedeliveryAdmin
from console.admin.jobs import ReconciliationAdmin, WorkAdmin
from console.admin.listeners.page import ListenerAdmin
from console.admin.mappings.page import HandlerMappingAdmin
from console.admin.workers import WorkerAdmin
from handlers.models import Delivery, HandlerMapping, Redelivery, Worker
from listeners.models import Listener

admin.site.register(Listener, ListenerAdmin)
admin.site.register(HandlerMapping, HandlerMappingAdmin)
admin.site.register(AuditLogEntry, AuditLogAdmin)
admin.site.register(Delivery, DeliveryAdmin)
admin.site.register(Worker, WorkerAdmin)
admin.site.register(Redelivery, RedeliveryAdmin)
admin.site.register(Work, WorkAdmin)
admin.site.register(Reconciliation, ReconciliationAdmin)

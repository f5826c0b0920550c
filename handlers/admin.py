"""What joins listeners, the record and handlers on one page is registered here, on top."""

from django.contrib import admin

from audit.models import AuditLogEntry, Reconciliation, Work
from handlers.admin_audit_log import AuditLogAdmin
from handlers.admin_deliveries import DeliveryAdmin
from handlers.admin_listeners import ListenerAdmin
from handlers.admin_mappings import HandlerMappingAdmin
from handlers.admin_redeliveries import RedeliveryAdmin
from handlers.admin_work import ReconciliationAdmin, WorkAdmin
from handlers.admin_workers import WorkerAdmin
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

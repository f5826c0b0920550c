from django.apps import AppConfig
from django.db.models import CharField


class AuditConfig(AppConfig):
    name = "audit"
    verbose_name = "Record"

    def ready(self) -> None:
        from audit.lookups import Begins

        CharField.register_lookup(Begins)

from django.apps import AppConfig
from django.db.models import BigAutoField, CharField, ForeignKey


class AuditConfig(AppConfig):
    name = "audit"
    verbose_name = "Activity"

    def ready(self) -> None:
        from audit.db.lookups import Among, Begins
        from audit.incidents import report_login
        from listeners.connections.login_attempts import login_trouble

        CharField.register_lookup(Begins)
        for field in (BigAutoField, CharField, ForeignKey):
            field.register_lookup(Among)
        login_trouble.connect(report_login)

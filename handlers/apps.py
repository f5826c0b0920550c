import sys

from django.apps import AppConfig


class HandlersConfig(AppConfig):
    name = "handlers"
    verbose_name = "Handlers"

    def ready(self) -> None:
        from django.conf import settings

        from handlers import attempt_log, checks, registry

        try:
            registry.discover(settings.CDC_HANDLER_MODULES)
        except registry.NoSuchModule as error:
            sys.exit(f"configuration error: CDC_HANDLER_MODULES: {error}")
        checks.register_all()
        attempt_log.silence_celerys_success()

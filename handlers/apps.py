import sys

from django.apps import AppConfig


class HandlersConfig(AppConfig):
    name = "handlers"
    verbose_name = "Handlers"

    def ready(self) -> None:
        from django.conf import settings

        from handlers import checks, registry

        try:
            registry.discover(settings.CDC_HANDLER_MODULES)
        except registry.NoSuchModule as error:
            sys.exit(f"configuration error: CDC_HANDLER_MODULES: {error}")
        checks.register_all()

from django.apps import AppConfig


class HandlersConfig(AppConfig):
    name = "handlers"
    verbose_name = "Handlers"

    def ready(self) -> None:
        from django.conf import settings

        from handlers import checks, registry

        registry.discover(settings.CDC_HANDLER_MODULES)
        checks.register_all()

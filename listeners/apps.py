from django.apps import AppConfig


class ListenersConfig(AppConfig):
    name = "listeners"
    verbose_name = "Sources"

    def ready(self) -> None:
        from listeners import checks

        checks.register_all()

from django.apps import AppConfig


class ListenersConfig(AppConfig):
    name = "listeners"
    verbose_name = "Listen"

    def ready(self) -> None:
        from listeners import checks

        checks.register_all()

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    """An app without models."""

    name = "console"
    verbose_name = "Console"

    def ready(self) -> None:
        # django.contrib.admin was ready before, and every app's `admin` was imported.
        from console.admin.users import register_users

        register_users()

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    """The console has no models of its own."""

    name = "console"
    verbose_name = "Console"

    def ready(self) -> None:
        # By now django.contrib.admin has imported the `admin` module of every app.
        from console.admin.users import register_users

        register_users()

from django.apps import AppConfig


class MirrorConfig(AppConfig):
    name = "mirror"
    verbose_name = "Mirrors"

    def ready(self) -> None:
        from handlers.sdk import mirrored
        from mirror import checks
        from mirror.apply import event_rows

        checks.register_all()
        mirrored.bind(event_rows)

from django.apps import AppConfig, apps
from django.conf import settings


class ConsumerConfig(AppConfig):
    name = "consumer"
    verbose_name = "Consumer"

    def ready(self) -> None:
        from django.db.models.signals import post_migrate

        from consumer import roles

        # The last apps whose permissions are given: Django has made them by then. The site's app
        # with the user model may come before ours or after.
        for label in {"api", settings.AUTH_USER_MODEL.split(".")[0]}:
            post_migrate.connect(
                roles.put_right,
                sender=apps.get_app_config(label),
                dispatch_uid=f"consumer.roles.{label}",
            )

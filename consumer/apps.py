from django.apps import AppConfig, apps
from django.conf import settings


class ConsumerConfig(AppConfig):
    name = "consumer"
    verbose_name = "Consumer"

    def ready(self) -> None:
        from django.db.models.signals import post_migrate

        from consumer import roles

        # Roles get permissions of these apps and of apps that Django migrates before them. The app
        # of the user model may be migrated before ours or after it, so both signals are needed.
        for label in {"api", settings.AUTH_USER_MODEL.split(".")[0]}:
            post_migrate.connect(
                roles.update_roles,
                sender=apps.get_app_config(label),
                dispatch_uid=f"consumer.roles.{label}",
            )

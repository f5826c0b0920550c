from django.apps import AppConfig, apps


class ConsumerConfig(AppConfig):
    name = "consumer"
    verbose_name = "Consumer"

    def ready(self) -> None:
        from django.db.models.signals import post_migrate

        from consumer import roles

        # The last app with models, whose permissions Django has made by then.
        last = apps.get_app_config("api")
        post_migrate.connect(roles.put_right, sender=last, dispatch_uid="consumer.roles")

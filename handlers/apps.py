import sys
from collections.abc import Sequence
from datetime import datetime

from django.apps import AppConfig


class HandlersConfig(AppConfig):
    name = "handlers"
    verbose_name = "Handlers"

    def ready(self) -> None:
        from django.conf import settings

        from handlers import checks
        from handlers.outbox import publish
        from handlers.sdk import decorator, registry
        from handlers.worker import run_log

        try:
            registry.discover(settings.CDC_HANDLER_MODULES)
        except registry.NoSuchModule as error:
            sys.exit(f"configuration error: CDC_HANDLER_MODULES: {error}")
        decorator.bind(_run_deliveries)
        publish.send_external = _send_external
        checks.register_all()
        run_log.silence_celerys_success()


def _run_deliveries(ids: Sequence[int], handler: str) -> str:
    """The body of every handler's task. The worker's modules load with the first run, not in every
    process."""
    from handlers.worker import run

    return run.run_deliveries(ids, handler)


def _send_external(ids: Sequence[int], now: datetime) -> int:
    """Send external deliveries. The modules load with the first one, not in every process."""
    from handlers.tracking import send

    return send.send_external(ids, now)

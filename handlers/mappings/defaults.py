"""The four mappings without a handler that every new listener gets."""

from handlers.models import HandlerMapping
from listeners.models import Listener


def create_default_mappings(listener: Listener) -> list[HandlerMapping]:
    """Add the missing ones of onCreate, onUpdate, onDelete and onRestore, and return them.

    They match every entity and have no handler, so such changes are only recorded. Inside the
    caller's transaction.
    """
    present = set(HandlerMapping.objects.filter(listener=listener).values_list("on", flat=True))
    return [
        HandlerMapping.objects.create(listener=listener, on=on)
        for on in HandlerMapping.On.values
        if on not in present
    ]

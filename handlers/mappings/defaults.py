"""What every listener begins with: its four event handlers, with nothing chosen."""

from handlers.models import HandlerMapping
from listeners.models import Listener


def create_default_mappings(listener: Listener) -> list[HandlerMapping]:
    """Add onCreate, onUpdate, onDelete and onRestore where there is none yet, for every entity
    and with no handler: such changes are recorded only. Inside the caller's transaction."""
    present = set(HandlerMapping.objects.filter(listener=listener).values_list("on", flat=True))
    return [
        HandlerMapping.objects.create(listener=listener, on=on)
        for on in HandlerMapping.On.values
        if on not in present
    ]

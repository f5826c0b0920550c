"""The managed mappings of a mirror, and the deliveries that bring it the object's changes."""

from __future__ import annotations

from handlers.models import Delivery, HandlerMapping
from handlers.models.delivery_queryset import DeliveryQuerySet
from handlers.models.mapping import MIRROR_HANDLER
from handlers.models.mapping_queryset import MappingQuerySet
from mirror.models import Mirror


def create_mappings(mirror: Mirror) -> None:
    """Create the mirror's mappings. Inside the caller's transaction, which has locked the
    listener's position.

    They halt at a dead letter: no later change may be applied to a row that lacks an earlier one
    (`mirror.apply.dead_letters`).
    """
    for on in HandlerMapping.On.values:
        HandlerMapping.objects.create(
            listener=mirror.listener,
            on=on,
            entity=mirror.salesforce_object,
            handler=MIRROR_HANDLER,
            options={"mirror": mirror.pk},
            on_dead=HandlerMapping.OnDead.HALT,
            managed=True,
        )


def managed_mappings(mirror: Mirror) -> MappingQuerySet:
    """Return the four mappings that bring the object's changes to the mirror."""
    return HandlerMapping.objects.get_queryset().filter(
        listener=mirror.listener_id,
        managed=True,
        handler=MIRROR_HANDLER,
        entity=mirror.salesforce_object,
    )


def deliveries_of(mirror: Mirror, *states: str) -> DeliveryQuerySet:
    """Return the deliveries of the mirror's mappings in these states, which have partial
    indexes."""
    ids = list(managed_mappings(mirror).order_by().values_list("pk", flat=True))
    found: DeliveryQuerySet = Delivery.objects.filter(state__in=states, mapping__in=ids)
    return found

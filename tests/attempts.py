"""The attempts of all deliveries, with those that have no row of their own."""

from handlers.models import Delivery, DeliveryAttempt


def all_attempts() -> list[DeliveryAttempt]:
    """Return the attempts in the order of their deliveries and numbers."""
    deliveries = Delivery.objects.order_by("id").prefetch_related("attempt_log", "redelivery")
    return [attempt for delivery in deliveries for attempt in delivery.all_attempts]

"""The models of handler mappings, destinations, deliveries, attempts, redeliveries and workers."""

from handlers.models.attempt import DeliveryAttempt
from handlers.models.delivery import Delivery
from handlers.models.destination import Destination
from handlers.models.handover import Handover
from handlers.models.mapping import HandlerMapping
from handlers.models.redelivery import Redelivery, RedeliveryTarget
from handlers.models.worker import Worker

__all__ = [
    "Delivery",
    "DeliveryAttempt",
    "Destination",
    "HandlerMapping",
    "Handover",
    "Redelivery",
    "RedeliveryTarget",
    "Worker",
]

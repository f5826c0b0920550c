"""Runs that follow another of their chain at once, and are written down with it.

The first one is claimed and keeps the chain. Those behind it stay blocked meanwhile, so that nobody
else begins them; a crash is the first one's, and all of them run again, in order.
"""

from __future__ import annotations

from itertools import takewhile

from handlers import hot, registry
from handlers.claims import Claim
from handlers.company import most
from handlers.endings import allowed_attempts
from handlers.following import blocked
from handlers.models import Delivery


def behind(first: Claim, size: int) -> list[Claim]:
    """So many at most, up to where the chain goes on in another way. What takes many at once has
    one of a chain; what is atomic is committed before the next begins; and what failed before, or
    is tried once, goes alone."""
    delivery = first.delivery
    handler = registry.find(delivery.handler)
    if handler is None or handler.batch or handler.atomic or not delivery.chain or size < 1:
        return []
    if first.counted > 1 or most(handler, 0, allowed_attempts(delivery)) == 1:
        return []
    ids = blocked(delivery.chain, size)
    # Not by their state as well: there is an index of what is blocked, which may be all of a chain.
    waiting = Delivery.objects.filter(pk__in=ids).order_by("id").defer("error")
    rows = list(takewhile(lambda one: _is_alike(one, delivery), waiting))
    found = {one.pk: one for one in hot.load_all(rows)}
    there = takewhile(found.__contains__, ids)
    return [Claim(found[pk], found[pk].attempts + 1, first.started_at, delivery.pk) for pk in there]


def _is_alike(one: Delivery, first: Delivery) -> bool:
    waits = one.state == Delivery.State.BLOCKED and not one.awaits_record
    return (
        waits
        and one.attempts == one.attempts_before
        and (one.mapping_id, one.handler, one.queue, one.is_external)
        == (
            first.mapping_id,
            first.handler,
            first.queue,
            False,
        )
    )

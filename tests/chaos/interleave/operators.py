"""The operators' actions during a run: redeliver, pause and resume, edit mappings, skip dead
letters."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

from django.utils import timezone

from audit.action_log import Actor, Through
from audit.models import AuditLogEntry, AuditLogFilter
from handlers.dead_letters import halt
from handlers.mappings import pause as mappings_pause
from handlers.models import Delivery, HandlerMapping, Redelivery
from handlers.redelivery.request import RedeliveryRequest, request_matching
from handlers.redelivery.start import begin
from tests.chaos.interleave import COPY, COPY_TOO

_ACTOR = Actor("chaos", Through.COMMAND)
_ORDERINGS = ("per_record", "unordered")


class Operators:
    """Performs random actions of operators; `done` counts them."""

    def __init__(self, rng: random.Random, *, may_change_order: bool) -> None:
        self.done: Counter[str] = Counter()
        self._rng = rng
        self._acts: dict[Callable[[], bool], int] = {
            self.redeliver_one: 30,
            self.redeliver_a_group: 10,
            self.redeliver_what_failed: 4,
            self.redeliver_a_record: 6,
            self.redeliver_everything: 1,
            self.pause: 5,
            self.resume: 15,
            self.edit: 12,
            self.go_on_without: 6,
            **({self.change_order: 8} if may_change_order else {}),
        }

    def act(self) -> None:
        [chosen] = self._rng.choices([*self._acts], [*self._acts.values()])
        if chosen():
            self.done[chosen.__name__.replace("_", " ")] += 1

    def redeliver_one(self) -> bool:
        found = Delivery.objects.exclude(state="blocked").order_by("?").values_list("pk", flat=True)
        pk = found.first()
        if pk is None:
            return False
        begin(RedeliveryRequest(_ACTOR, Delivery.objects.filter(pk=pk)), timezone.now())
        return True

    def redeliver_a_group(self) -> bool:
        groups = Delivery.objects.filter(state="dead").order_by().values_list("error_group")
        names = [name for (name,) in groups.distinct()]
        if not names:
            return False
        chosen = Delivery.objects.filter(state="dead", error_group=self._rng.choice(names))
        begin(RedeliveryRequest(_ACTOR, chosen), timezone.now())
        return True

    def redeliver_what_failed(self) -> bool:
        begin(request_matching(AuditLogFilter(state="failed"), _ACTOR), timezone.now())
        return True

    def redeliver_a_record(self) -> bool:
        ids = AuditLogEntry.objects.order_by("?").values_list("record_id", flat=True)
        record_id = ids.first()
        begin(request_matching(AuditLogFilter(record=record_id), _ACTOR), timezone.now())
        return True

    def redeliver_everything(self) -> bool:
        if Redelivery.objects.filter(state__in=Redelivery.UNENDED).exists():
            return False
        begin(request_matching(AuditLogFilter(entity="Account"), _ACTOR), timezone.now())
        return True

    def pause(self) -> bool:
        return bool(mappings_pause.pause([self._mapping()], _ACTOR, "chaos", timezone.now()))

    def resume(self) -> bool:
        paused = HandlerMapping.objects.paused().order_by("?")[:1]
        return bool(mappings_pause.resume(paused, _ACTOR, "chaos", timezone.now()))

    def resume_all(self) -> None:
        mappings_pause.resume(HandlerMapping.objects.all(), _ACTOR, "chaos", timezone.now())

    def edit(self) -> bool:
        """Change one of the mapping's settings as the console's form does."""
        mapping = self._mapping()
        match self._rng.randrange(4):
            case 0:
                mapping.max_attempts = self._rng.randint(1, 3)
            case 1:
                mapping.options = {"version": self._rng.randint(1, 3)}
            case 2:
                mapping.handler = COPY_TOO if mapping.handler == COPY else COPY
            case 3:
                mapping.queue = "" if mapping.queue else "special"
        mapping.full_clean()
        mapping.save()
        return True

    def change_order(self) -> bool:
        mapping = self._mapping()
        mapping.ordering = self._rng.choice(_ORDERINGS)
        mapping.full_clean()
        mapping.save()
        return True

    def go_on_without(self) -> bool:
        halting = Delivery.objects.filter(halts=True).order_by("?").values_list("pk", flat=True)
        return bool(halt.skip_halting(list(halting[:1]), _ACTOR, "chaos", timezone.now()))

    def _mapping(self) -> HandlerMapping:
        found: HandlerMapping = self._rng.choice(list(HandlerMapping.objects.order_by("pk")))
        return found

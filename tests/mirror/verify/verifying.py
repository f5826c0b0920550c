"""A loaded mirror of a simulator's object, and its verifications in this process."""

from __future__ import annotations

import itertools
import time
from datetime import timedelta
from typing import Any

from django.utils import timezone

from audit.models import Incident
from listeners.models import Position
from mirror import kinds, runs
from mirror.models import Difference, Mirror, MirrorRun
from mirror.schema.columns import model_named
from tests.mirror.load.loading import loaded, mirror_of
from tests.servers import PATIENCE_SECONDS

_numbers = itertools.count(1)


class Mirrored:
    """A mirror that was loaded, and whose listener has caught up."""

    def __init__(self, org: Any, model: str = "crm.Account") -> None:
        self.org = org
        self.mirror: Mirror = mirror_of(org, model)
        run = loaded(self.mirror)
        assert (run.state, self.mirror.phase) == ("done", "in_sync"), run.error
        # Read a second after their creation, which cannot be told from a change in that second.
        self.mirror.dirty_rows.all().delete()
        self.age()
        self.catch_up()

    @property
    def rows(self) -> Any:
        model: Any = model_named(self.mirror.model)
        return model.all_objects

    def age(self, hours: float = 1) -> None:
        """Date the rows back, as if they had been read an hour ago; such times have no
        microseconds."""
        read_at = (timezone.now() - timedelta(hours=hours)).replace(microsecond=0)
        self.rows.update(synced_at=read_at)

    def catch_up(self, at: Any = None) -> None:
        """Set the stream's position as if it had passed all changes until `at`, or all changes of
        the org."""
        later = timezone.now() + timedelta(minutes=5)
        Position.objects.filter(listener=self.mirror.listener).update(caught_up_at=at or later)

    def run(self, kind: str, **options: Any) -> MirrorRun:
        run, is_new = runs.request(self.mirror, kind, timezone.now(), options=options)
        assert is_new
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not run.is_over and time.monotonic() < deadline:
            kinds.work(run.pk)
            run.refresh_from_db()
        self.mirror.refresh_from_db()
        assert run.state == "done", (run.state, run.error, run.waits_for)
        return run

    def verify(self, depth: str = "full", **options: Any) -> MirrorRun:
        return self.run("verify", depth=depth, **options)

    def differences(self) -> list[Difference]:
        return list(self.mirror.differences.order_by("record_id", "field"))

    def incident(self, kind: str = Incident.Kind.MIRROR_DIFFERS) -> Incident | None:
        return Incident.objects.opened().filter(kind=kind, key=self.mirror.model).first()

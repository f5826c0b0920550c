"""A mirror of the simulator's accounts, and its loads in this process."""

import time
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from listeners.models import Position
from mirror import kinds, service
from mirror.models import Mirror, MirrorRun
from tests.mirror.crm.models import Account
from tests.sample_data import ANN, listener_of
from tests.servers import PATIENCE_SECONDS


def live(listener) -> None:
    """Make the listener receive, as far as its position says."""
    now = timezone.now()
    receiving = {
        "state": Position.State.RECEIVING,
        "replay_id": "5",
        "channel": listener.channel,
        "holder": "this test",
        "epoch": 1,
        "lease_until": now + timedelta(hours=1),
        "last_received_at": now,
        "state_since": now,
    }
    Position.objects.update_or_create(listener=listener, defaults=receiving)


def mirror_of(org, model="crm.Account", *, is_live=True, **fields) -> Mirror:
    listener = listener_of(org)
    if is_live:
        live(listener)
    with transaction.atomic():
        return service.store(Mirror(model=model, listener=listener, **fields), ANN)


def load_of(mirror) -> MirrorRun:
    return mirror.runs.filter(kind="load").latest("id")


#: Waits of a run that end by themselves.
_PASSING = ("query job", "to settle", "another attempt")


def work_on(run, *, until="") -> MirrorRun:
    """Work on a run as one worker would, until it ends, waits for something that does not come by
    itself, or has a wait that contains `until`. Raises AssertionError if none of it comes."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        kinds.work(run.pk)
        run.refresh_from_db()
        if run.is_over or (until and until in run.waits_for):
            break
        if run.waits_for and not any(one in run.waits_for for one in _PASSING):
            break
        assert time.monotonic() < deadline, (run.state, run.error, run.waits_for)
        time.sleep(0.05)
    return run


def loaded(mirror) -> MirrorRun:
    run = work_on(load_of(mirror))
    mirror.refresh_from_db()
    return run


def names() -> set[str]:
    return {*Account.objects.values_list("name", flat=True)}

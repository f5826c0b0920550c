"""Sweeps as runs of their own, and those that lost time requests."""

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from audit.models import Incident, Trouble
from handlers.listener_rest_client import rest_of
from listeners.clock import database_clock
from listeners.models import Position
from listeners.salesforce.errors import AnswerTooLarge
from listeners.salesforce.rest.client import RestClient
from mirror import kinds, runs, service
from mirror.load import lost_time
from mirror.load.fields import ReadFields
from mirror.models import DirtyRow
from mirror.status import status_of
from mirror.sweeps import request_sweep
from tests.mirror.crm.models import Account
from tests.mirror.load.loading import loaded, mirror_of, work_on
from tests.sample_data import ANN

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker"),
]


@pytest.fixture
def mirror(org):
    org.create("Account", *({"Name": f"Account {number}"} for number in range(12)))
    mirror = mirror_of(org)
    loaded(mirror)
    return mirror


def sweep(mirror, **options):
    now = database_clock.now()
    run = request_sweep(mirror, now - timedelta(minutes=1), now, "a test", **options)
    return work_on(run)


def make_old() -> None:
    """Make the rows older than any read, as after an hour without changes."""
    Account._base_manager.update(synced_at=timezone.now() - timedelta(hours=1))


def test_a_sweep_writes_what_was_changed_and_deleted(org, mirror):
    changed, deleted = Account.objects.order_by("pk").values_list("pk", flat=True)[:2]
    make_old()
    org.update("Account", changed, Name="Changed")
    org.delete("Account", deleted)

    run = sweep(mirror)

    assert (run.state, run.is_right) == ("done", True)
    assert Account.objects.get(pk=changed).name == "Changed"
    assert Account.all_objects.get(is_deleted=True).pk == deleted
    assert not mirror.runs.filter(kind="verify").exists()


def test_a_sweep_that_finds_no_record_brings_the_mirror_back_in_sync(mirror):
    mirror.phase = mirror.Phase.CATCHING_UP
    mirror.save()
    now = database_clock.now()

    run = work_on(request_sweep(mirror, now + timedelta(hours=1), now, "a test"))

    assert (run.state, run.done) == ("done", 0)
    mirror.refresh_from_db()
    assert mirror.phase == mirror.Phase.IN_SYNC


def test_a_sweep_does_not_make_up_for_a_first_load_that_was_cancelled_while_it_swept(org):
    """Its rows may lack changes and deletions of before the later sweep's window."""
    org.create("Account", Name="Acme")
    mirror = mirror_of(org)
    mirror.phase = mirror.Phase.CATCHING_UP
    mirror.save()
    service.cancel_run(mirror.runs.get(), ANN)

    run = sweep(mirror)

    assert run.state == "done"
    mirror.refresh_from_db()
    assert (mirror.phase, mirror.in_sync_since) == (mirror.Phase.CATCHING_UP, None)
    status = status_of(mirror, timezone.now())
    assert (status.state, status.in_sync_as_of) == ("attention", None)
    assert "Its load has ended before it was complete" in status.reason


def test_ids_are_compared_when_deletions_were_purged(org, mirror):
    [gone, *_] = Account.objects.values_list("pk", flat=True)
    org.delete("Account", gone)
    org.post("recycle-bin/empty")

    run = sweep(mirror)

    assert run.state == "done"
    assert mirror.runs.get(kind="verify").options.items() >= {"depth": "ids"}.items()


def test_sweeps_that_have_not_ended_become_one_with_both_windows(mirror):
    now = database_clock.now()
    first = request_sweep(mirror, now - timedelta(hours=1), now, "Overflow")
    second = request_sweep(mirror, now - timedelta(hours=9), now, "Gap", with_ids=True)

    assert first.pk == second.pk
    first.refresh_from_db()
    assert first.options["since"] == (now - timedelta(hours=9)).isoformat()
    assert first.options["reasons"] == ["Overflow", "Gap"]
    assert first.options["ids"]


def test_a_request_during_a_sweep_starts_it_over(mirror):
    now = database_clock.now()
    run = request_sweep(mirror, now, now, "Overflow")
    claim = runs.RunClaim.of(run.pk, now)

    request_sweep(mirror, now, now, "Gap")

    with pytest.raises(runs.ClaimLost):
        claim.keep(done=1)


def lose_position(mirror, hours=5, kind=Incident.Kind.REPLAY_LOST) -> Incident:
    now = timezone.now()
    trouble = Trouble(kind, "", "lost", "", now - timedelta(hours=hours), now)
    return Incident.objects.report(mirror.listener_id, trouble, now)


def sweeps_of(mirror):
    return mirror.runs.filter(kind="sweep")


def slices(run, then=lambda: None) -> int:
    """Work on a run until it ends, one page in each slice; return how many slices it took. `then`
    happens after each of the first three."""
    for number in range(1, 30):
        kinds.work(run.pk)
        run.refresh_from_db()
        if run.is_over:
            return number
        if number <= 3:
            then()
    pytest.fail("the run does not end")


def test_a_request_of_a_later_window_does_not_start_a_sweep_over(mirror, monkeypatch):
    monkeypatch.setattr("mirror.load.reader.MAX_IDS", 3)
    monkeypatch.setattr(runs.RunClaim, "is_slice_over", property(lambda self: True))
    make_old()
    now = database_clock.now()
    run = request_sweep(mirror, now - timedelta(hours=1), now, "Overflow")
    later = now + timedelta(hours=1)

    assert slices(run, lambda: request_sweep(mirror, later, now, "Overflow")) <= 6
    assert (run.state, run.report["rows"]) == ("done", 12)


def test_a_request_of_a_window_that_a_sweep_has_begun_to_read_goes_back(mirror, monkeypatch):
    monkeypatch.setattr("mirror.load.reader.MAX_IDS", 3)
    monkeypatch.setattr(runs.RunClaim, "is_slice_over", property(lambda self: True))
    make_old()
    now = database_clock.now()
    run = request_sweep(mirror, now - timedelta(hours=1), now, "Overflow")
    kinds.work(run.pk)

    request_sweep(mirror, now, now, "Gap")

    run.refresh_from_db()
    back_to = (now - timedelta(minutes=15)).replace(microsecond=now.microsecond // 1000 * 1000)
    assert datetime.fromisoformat(run.cursor["sweep"]["at"]) == back_to
    assert "id" not in run.cursor["sweep"]
    slices(run)
    assert (run.state, run.report["rows"]) == ("done", 3 + 12)


def test_records_that_are_listed_as_deleted_and_were_restored_are_read_once(mirror, monkeypatch):
    monkeypatch.setattr("mirror.load.sweep.MAX_IDS", 3)
    monkeypatch.setattr(runs.RunClaim, "is_slice_over", property(lambda self: True))
    keys = list(Account.objects.values_list("pk", flat=True))
    monkeypatch.setattr(RestClient, "deleted_ids", lambda *_: keys)
    make_old()
    now = database_clock.now()

    run = request_sweep(mirror, now - timedelta(minutes=1), now, "a test")

    assert slices(run) <= 1 + len(keys) // 3 + 1
    assert run.state == "done"


def test_ids_are_compared_when_the_list_of_deletions_is_too_large(mirror, monkeypatch):
    monkeypatch.setattr(RestClient, "deleted_ids", too_large)

    run = sweep(mirror)

    assert (run.state, run.error) == ("done", "")
    assert mirror.runs.get(kind="verify").options["depth"] == "ids"


def too_large(*_):
    raise AnswerTooLarge("the list of deletions is larger than 32 MiB")


def test_a_position_that_was_refused_requests_one_sweep_and_then_the_ids(org, mirror):
    incident = lose_position(mirror)

    assert lost_time.request_due(timezone.now()) == 1
    assert lost_time.request_due(timezone.now()) == 0
    mirror.refresh_from_db()
    assert mirror.phase == "catching_up"
    run = work_on(sweeps_of(mirror).get())

    mirror.refresh_from_db()
    assert run.options["since"] == incident.window_start.isoformat()
    assert (run.state, mirror.phase) == ("done", "in_sync")
    assert mirror.runs.filter(kind="verify", options__since=run.options["since"]).exists()


@pytest.mark.usefixtures("loads_that_settle")
def test_a_mirror_is_not_in_sync_after_lost_time_before_all_ids_were_compared(org, mirror):
    ghost, deleted, changed = list(Account.objects.order_by("pk").values_list("pk", flat=True))[:3]
    make_old()
    org.hard_delete("Account", ghost)
    org.delete("Account", deleted)
    org.update("Account", changed, Name="Changed")
    incident = lose_position(mirror)
    later = timezone.now() + timedelta(minutes=5)
    Position.objects.update(caught_up_at=later)  # the stream goes on, from a later position
    assert shown(mirror) == ("catching_up", True)  # in sync as of a time before the loss

    lost_time.request_due(timezone.now())
    assert shown(mirror) == ("catching_up", False)
    work_on(sweeps_of(mirror).get())
    assert Account.objects.filter(pk=ghost).exists()
    assert shown(mirror) == ("catching_up", True)
    Incident.objects.settle(timezone.now(), note="The audit log is complete.")
    run = work_on(mirror.runs.get(kind="verify"))

    assert run.is_right, run.error
    assert not Account.objects.filter(pk__in=[ghost, deleted]).exists()
    DirtyRow.objects.all().delete()
    mirror.refresh_from_db()
    status = status_of(mirror, timezone.now())
    assert (status.state, status.in_sync_as_of) == ("in_sync", later - timedelta(seconds=2))
    incident.refresh_from_db()
    closed, repaired = incident.note.split("\n")
    assert closed == "The audit log is complete."
    assert repaired.startswith("Mirror crm.Account: 11 records that changed in Salesforce since ")
    assert "1 was permanently deleted, and its row is marked as deleted; 0 other" in repaired
    assert repaired.endswith("no difference left.")


@pytest.mark.usefixtures("loads_that_settle")
def test_a_load_that_makes_up_for_lost_time_compares_all_ids_and_writes_what_it_repaired(
    org, mirror
):
    ghost, changed = list(Account.objects.order_by("pk").values_list("pk", flat=True))[:2]
    make_old()
    org.hard_delete("Account", ghost)
    org.update("Account", changed, Name="Changed")
    incident = lose_position(mirror)
    Position.objects.update(caught_up_at=timezone.now() + timedelta(minutes=5))
    lost_time.request_due(timezone.now())
    assert service.cancel_run(sweeps_of(mirror).get(), ANN)

    load = work_on(service.request_run(mirror, "load", {}, ANN))

    assert (load.state, load.error) == ("done", "")
    assert load.options["losses"] == sweeps_of(mirror).get().options["losses"]
    assert shown(mirror) == ("catching_up", True), "the ids are not compared yet"
    Incident.objects.settle(timezone.now(), note="The audit log is complete.")
    make_old()
    run = work_on(mirror.runs.get(kind="verify"))

    assert run.is_right, run.error
    assert not Account.objects.filter(pk=ghost).exists()
    incident.refresh_from_db()
    repaired = incident.note.split("\n")[1]
    assert repaired.startswith("Mirror crm.Account: all 11 records in Salesforce were read again, ")
    assert "1 was permanently deleted, and its row is marked as deleted; 0 other" in repaired


def shown(mirror):
    """Return the state, and whether a time is claimed; such a time must be before the loss."""
    mirror.refresh_from_db()
    found = status_of(mirror, timezone.now())
    before = timezone.now() - timedelta(hours=4)
    if found.in_sync_as_of is not None:
        assert found.in_sync_as_of < before
    return found.state, found.in_sync_as_of is not None


def test_a_window_that_grows_is_swept_again(mirror):
    lose_position(mirror)
    lost_time.request_due(timezone.now())
    work_on(sweeps_of(mirror).get())
    lose_position(mirror, hours=1)

    assert lost_time.request_due(timezone.now()) == 1


def test_a_short_outage_needs_no_sweep(mirror):
    lose_position(mirror, hours=71, kind=Incident.Kind.OUTAGE)

    assert lost_time.request_due(timezone.now()) == 0


def test_an_outage_longer_than_the_retention_is_swept(mirror):
    lose_position(mirror, hours=73, kind=Incident.Kind.OUTAGE)

    assert lost_time.request_due(timezone.now()) == 1


def test_a_sweep_waits_until_the_listener_receives_again(mirror):
    lose_position(mirror)
    Position.objects.update(state=Position.State.CONNECTING)

    assert lost_time.request_due(timezone.now()) == 0


def test_a_field_that_is_hidden_during_a_sweep_keeps_its_values_and_ends_nothing(org, mirror):
    row = Account.objects.order_by("pk").first()
    make_old()
    org.update("Account", row.pk, Phone="1")
    sweep(mirror)
    make_old()
    now = database_clock.now()
    run = request_sweep(mirror, now - timedelta(minutes=1), now, "a test")
    described = ReadFields.of(rest_of(mirror.listener).describe("Account"))
    run.cursor = {"begun": now.isoformat(), "names": described.names, "types": described.types}
    run.save()
    org.entity("Account", hidden=["Phone"])
    org.update("Account", row.pk, Name="Changed")

    run = work_on(run)

    assert (run.state, run.error) == ("done", "")
    row.refresh_from_db()
    assert (row.name, row.phone) == ("Changed", "1")


def test_complaint_12_a_page_that_ends_within_a_second_loses_no_record(org, mirror, monkeypatch):
    """Equal timestamps across pages lose rows (supaglue #532): the key is (SystemModstamp, Id)."""
    monkeypatch.setattr("mirror.load.reader.MAX_IDS", 3)
    keys = list(Account.objects.values_list("pk", flat=True))
    make_old()
    org.update("Account", keys, Name="Changed")  # twelve records of one second, in pages of three

    run = sweep(mirror)

    assert run.report["rows"] >= len(keys)
    assert {*Account.objects.values_list("name", flat=True)} == {"Changed"}


def test_complaint_1_a_record_that_becomes_visible_late_is_swept(org, mirror):
    """Rows with a SystemModstamp below the saved cursor appear about 5 minutes later (airbyte
    #27146): sweeps begin 15 minutes earlier."""
    change = {"op": "create", "entity": "Account", "records": [{"Name": "late"}]}
    org.change(change, seconds_before_commit=600)

    sweep(mirror)

    assert Account.objects.filter(name="late").exists()

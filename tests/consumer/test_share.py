"""The rows in the database determine which listeners a process runs."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from consumer.host import assignment as assignment_module
from consumer.host.assignment import FREE_SECONDS, Assignment
from consumer.host.start import Hosting
from consumer.host.supervisor import REFRESH_SECONDS
from consumer.stream.login_guard import Logins
from consumer.stream.publisher import Publisher
from listeners import leases
from listeners.leases import LEASE, PRESENCE
from listeners.models import Listener, ListenerProcess, Position
from tests.sample_data import lease_of

pytestmark = pytest.mark.django_db(transaction=True)


#: The end of a heartbeat that `vanish` ends.
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _nothing_passes(monkeypatch):
    """No listener becomes free for all, and no lease ends, because a test takes long."""
    monkeypatch.setattr(assignment_module, "FREE_SECONDS", 3600.0)
    monkeypatch.setattr(leases, "LEASE", timedelta(hours=1))


def look(assignment: Assignment, passes_over=()) -> Assignment:
    """Refresh the assignment, while all processes that did not `vanish` are present."""
    here = ListenerProcess.objects.exclude(seen_until=LONG_AGO)
    here.update(seen_until=timezone.now() + timedelta(hours=1))
    enabled = list(Listener.objects.filter(enabled=True).select_related("connection"))
    positions = {position.pk: position for position in Position.objects.with_life()}
    assignment.refresh(enabled, positions, set(passes_over))
    return assignment


def vanish(holder: str) -> None:
    """Make the process look as if it had been killed a while ago."""
    ListenerProcess.objects.filter(holder=holder).update(seen_until=LONG_AGO)


@pytest.fixture
def two(make_listener):
    return [make_listener().pk for _ in range(2)]


def test_alone_it_takes_all(two):
    assert look(Assignment("a", [])).to_take() == set(two)


def test_two_take_one_each(two):
    one, other = Assignment("a", []), Assignment("b", [])
    look(one), look(other), look(one)

    assert len(one.to_take()) == len(other.to_take()) == 1
    assert one.to_take() | other.to_take() == set(two)


def test_a_process_that_left_does_not_count(two):
    one, other = Assignment("a", []), Assignment("b", [])
    look(one), look(other)
    other.leave()

    assert look(one).to_take() == set(two)


def test_a_process_that_says_nothing_any_more_does_not_count_and_is_cleared_away(two):
    one, other = Assignment("a", []), Assignment("b", [])
    look(one), look(other)
    vanish("b")

    assert look(one).to_take() == set(two)
    assert list(ListenerProcess.objects.values_list("holder", flat=True)) == ["a"]


def test_one_that_was_taken_for_dead_says_so_again(two):
    one = look(Assignment("a", []))
    vanish("a")
    ListenerProcess.objects.present()

    assert look(one).to_take() == set(two)
    assert ListenerProcess.objects.get().holder == "a"


def test_passed_over_listeners_are_written_again_after_a_commit_without_confirmation(
    two, monkeypatch
):
    one = look(Assignment("a", []))
    beat = ListenerProcess.objects.beat

    def beat_without_confirmation(*heartbeat):
        beat(*heartbeat)
        raise OperationalError("the connection broke during the commit")

    with monkeypatch.context() as broken:
        broken.setattr(ListenerProcess.objects, "beat", beat_without_confirmation)
        with pytest.raises(OperationalError):
            look(one, passes_over=[two[0]])
    assert ListenerProcess.objects.get().passes_over == [two[0]]

    assert look(one).to_take() == set(two)
    assert ListenerProcess.objects.get().passes_over == []


def test_what_another_process_was_not_asked_to_run_is_left_to_this_one(two):
    first = Listener.objects.get(pk=two[0])
    named = look(Assignment("a", [first.name]))
    anyone = look(Assignment("b", []))

    assert (look(named).to_take(), anyone.to_take()) == ({two[0]}, {two[1]})


def test_a_listener_that_is_not_taken_in_time_is_taken_by_any_process(two, monkeypatch):
    look(Assignment("a", []))
    late = look(Assignment("b", []))
    assert len(late.to_take()) == 1
    now = assignment_module.time.monotonic() + assignment_module.FREE_SECONDS

    monkeypatch.setattr(assignment_module.time, "monotonic", lambda: now + 1)

    assert late.to_take() == set(two)


def test_what_is_held_is_not_free_until_the_lease_ends(two):
    lease = lease_of(Listener.objects.get(pk=two[0]), "somebody")
    one = look(Assignment("a", []))
    assert (one.to_take(), one.is_free(two[0])) == ({two[1]}, False)

    Position.objects.release(lease)

    assert look(one).to_take() == set(two)


def test_one_with_two_more_lets_one_go(two):
    for pk in two:
        lease_of(Listener.objects.get(pk=pk), "a")
    look(Assignment("b", []))

    assert set(look(Assignment("a", [])).to_hand_over()) == set(two)


def test_a_look_costs_two_queries(make_listener):
    for _ in range(20):
        make_listener()
    one = look(Assignment("a", []))
    listeners = list(Listener.objects.all())

    with CaptureQueriesContext(connection) as captured:
        one.refresh(listeners, {}, set())

    statements = [query["sql"].split()[0] for query in captured]
    assert [word for word in statements if word not in ("BEGIN", "COMMIT")] == ["UPDATE", "SELECT"]


def test_each_look_renews_the_heartbeat(two):
    one = look(Assignment("a", []))
    vanish("a")
    before = timezone.now()

    look(one)

    until = ListenerProcess.objects.get().seen_until
    assert before + PRESENCE / 2 < until < timezone.now() + PRESENCE * 2


def test_listeners_that_a_process_passes_over_are_written_when_they_change(two):
    one = look(Assignment("a", []))
    for passed_over in ([two[0]], two, []):
        look(one, passed_over)
        assert ListenerProcess.objects.get().passes_over == sorted(passed_over)


def test_a_killed_process_is_replaced_within_15_seconds():
    assert PRESENCE < LEASE
    assert LEASE.total_seconds() + FREE_SECONDS + REFRESH_SECONDS < 15


def hosting(assignment: Assignment) -> Hosting:
    return Hosting("a", Logins(lambda seconds: True), assignment, Publisher())


def test_a_listener_whose_secret_is_not_here_is_left_to_another_process(listener, monkeypatch):
    listener.connection.client_secret = "env:NOT_SET_ANYWHERE"
    listener.connection.save()
    other = look(Assignment("b", []))
    mine = look(Assignment("a", []))
    hosts = hosting(mine)

    assert list(hosts.start([listener])) == []

    assert not Position.objects.filter(state=Position.State.FAILED).exists()
    passed_over = hosts.unfit({listener.pk: listener.fingerprint})
    look(mine, passed_over)
    assert mine.to_take() == set()
    assert look(other).to_take() == {listener.pk}


def test_where_there_is_no_other_it_fails(listener):
    listener.connection.client_secret = "env:NOT_SET_ANYWHERE"
    listener.connection.save()
    other = look(Assignment("b", []))
    mine = look(Assignment("a", []))
    hosts = hosting(mine)
    assert list(hosts.start([listener])) == []

    other.leave()
    look(mine, hosts.unfit({listener.pk: listener.fingerprint}))
    hosts.reconsider({listener.pk: listener})

    assert hosts.unfit({listener.pk: listener.fingerprint}) == set()
    assert list(hosts.start([listener])) == []
    assert "NOT_SET_ANYWHERE is not set" in Position.objects.get(state="failed").reason

"""An operator can make a listener forget its position, but not while a process runs it."""

from datetime import timedelta

import pytest
from django.utils import timezone

from audit.models import Throughput
from consumer.listener_control import forget
from listeners.models import Listener, OrgUsage, Position
from tests.sample_data import long_lease_of


@pytest.fixture
def position(listener):
    long_lease_of(listener)
    Position.objects.update(replay_id="52478913", tip_since=timezone.now())
    return Position.objects.get()


@pytest.fixture
def path(listener):
    return f"/admin/listeners/listener/{listener.pk}/forget-position/"


def let_the_lease_run_out() -> None:
    Position.objects.update(lease_until=timezone.now() - timedelta(minutes=1))


def test_it_asks_first(admin_client, path, position):
    let_the_lease_run_out()
    html = admin_client.get(path).content.decode()
    assert "Forget the position of" in html
    assert "52478913" in html
    assert Position.objects.get().replay_id == "52478913"


def test_the_position_is_forgotten_once_no_process_runs_the_listener(admin_client, path, position):
    let_the_lease_run_out()
    response = admin_client.post(path, follow=True)
    assert "starts again at earliest" in response.content.decode()
    position.refresh_from_db()
    assert (position.replay_id, position.tip_since) == ("", None)


def test_a_process_that_runs_the_listener_is_left_alone(admin_client, path, position):
    response = admin_client.post(path, follow=True)
    assert "Disable the listener or stop the process" in response.content.decode()
    assert Position.objects.get().replay_id == "52478913"


def test_a_disabled_listener_forgets_though_its_process_has_not_let_go(
    admin_client, path, position, listener
):
    lease = long_lease_of(listener) or Position.objects.get()
    listener.enabled = False
    listener.save()
    admin_client.post(path)
    assert Position.objects.get().replay_id == ""
    assert Position.objects.get().epoch == lease.epoch + 1


def test_a_listener_that_failed_forgets_though_its_process_still_drains_it(
    admin_client, path, position
):
    Position.objects.update(state="failed", failed_fingerprint="as it was")
    admin_client.post(path)
    forgotten = Position.objects.get()
    assert (forgotten.replay_id, forgotten.failed_fingerprint) == ("", "")
    assert forgotten.epoch == position.epoch + 1


def test_a_holder_that_was_only_paused_cannot_write_its_position_back(listener):
    lease = long_lease_of(listener)
    Position.objects.update(replay_id="1", lease_until=timezone.now() - timedelta(minutes=1))
    assert forget(Position.objects.get())
    assert not Position.objects.held(lease).update(replay_id="2")


def test_a_listener_that_has_moved_on_keeps_its_position(position):
    Position.objects.update(replay_id="52478914")
    assert not forget(position)
    assert Position.objects.get().replay_id == "52478914"


def test_a_listener_without_a_position_has_nothing_to_forget(admin_client, path):
    assert "no position to forget" in admin_client.post(path, follow=True).content.decode()


def test_only_who_may_change_a_listener_forgets(client, path, position, django_user_model):
    client.force_login(django_user_model.objects.create_user("reader", is_staff=True))
    let_the_lease_run_out()
    assert client.post(path).status_code == 403
    assert Position.objects.get().replay_id == "52478913"


def test_it_says_first_what_it_will_cost(admin_client, path, position, listener):
    let_the_lease_run_out()
    now = timezone.now()
    assert "Their number is unknown" in admin_client.get(path).content.decode()
    for hours, events in ((100, 7), (30, 2000), (1, 345)):
        Throughput.objects.create(
            listener=listener, minute=now - timedelta(hours=hours), events=events
        )
    OrgUsage.objects.create(
        connection=listener.connection, maximum=50_000, remaining=40_000, read_at=now
    )
    html = admin_client.get(path).content.decode()
    assert "about 2,345. The org has 40,000 of its daily limit of 50,000 left" in html


def test_a_beginning_at_the_tip_costs_nothing(admin_client, path, position, listener):
    let_the_lease_run_out()
    Listener.objects.update(replay_from="tip")
    assert "daily limit" not in admin_client.get(path).content.decode()

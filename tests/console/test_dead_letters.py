"""Dead letters are shown in groups, one for each handler and kind of error."""

import secrets

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.models import OperatorAction
from handlers.dead_letters.groups import folded, group_of
from handlers.models import Delivery, HandlerMapping, Redelivery
from tests.running import run_delivery
from tests.sample_data import make_mapping

PAGE = "/admin/handlers/delivery/dead-letters/"


@pytest.fixture
def fail(make_entry, make_delivery):
    """Makes deliveries that failed with these errors, with the groups of their errors."""

    def make(*errors, state="dead", **fields):
        if state == "retrying":
            fields["due_at"] = timezone.now()
        fields |= {"state": state, "started_at": timezone.now()}
        made = [make_delivery(make_entry(), error=error, **fields) for error in errors]
        for one in made:
            one.error_group = group_of(one, one.error)
            one.save()
        return made

    return make


@pytest.fixture
def client_who(django_user_model):
    """Returns a client of a new user with these permissions."""

    def make(*permissions) -> Client:
        user = django_user_model.objects.create_user(f"user{secrets.token_hex(4)}", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client = Client()
        client.force_login(user)
        return client

    return make


def groups(client, **parameters):
    answer = client.get(PAGE, parameters)
    assert answer.status_code == 200
    return [card["group"] for card in answer.context["cards"]]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("KeyError: 'Phone'", "KeyError: …"),
        ('ValueError: can\'t parse "12" of 0015g00000EqG9GAAV', "ValueError: can't parse … of …"),
        ("X: 2025-11-25T12:00:00Z\nDETAIL: more", "X: …"),
        ("X: {'a': 'b', 'c': [1, 2.5]}", "X: {…: […]}"),
        ("X: ann@example.com, 0c9d5a3e-7a0f-4f6e-8f50-3b1a6a2f9d11", "X: …"),
        ("X: no address at 0x7f3a", "X: no address at …"),
        ("it died or hung", "it died or hung"),
    ],
)
def test_what_varies_is_folded(error, expected):
    assert folded(error) == expected


def test_errors_that_differ_in_values_alone_are_one_group(admin_client, fail):
    entries = fail("KeyError: 'Phone'", "KeyError: 'Name'", "KeyError: 7")
    fail("KeyError: 'Phone'", handler="tests.other")
    fail("ValueError: 'Phone'")

    first, *others = groups(admin_client)

    assert (first.handler, first.error, first.count) == ("tests.remember", "KeyError: …", 3)
    assert (first.error_class, first.message) == ("KeyError", "…")
    assert first.example == entries[-1]
    assert first.entities == ["Account"]
    assert sorted((one.handler, one.error, one.count) for one in others) == [
        ("tests.other", "KeyError: …", 1),
        ("tests.remember", "ValueError: …", 1),
    ]


def test_what_is_tried_again_is_grouped_beside(admin_client, fail):
    fail("KeyError: 'Phone'", state="retrying")

    assert groups(admin_client) == []
    [only] = groups(admin_client, state="retrying")
    assert only.count == 1
    assert admin_client.get(PAGE, {"state": "ready"}).status_code == 404


def test_a_dead_delivery_has_its_group_at_once_and_keeps_it(
    admin_client, listed, listener, make_entry, make_delivery
):
    mapping = make_mapping(listener, handler="tests.fail", max_attempts=1)
    delivery = make_delivery(make_entry(), mapping=mapping, handler="tests.fail", state="ready")
    run_delivery(delivery.pk)
    delivery.refresh_from_db()

    assert delivery.error_group == group_of(delivery, delivery.error)
    [group] = groups(admin_client)
    assert (group.name, group.error) == (
        delivery.error_group,
        "ValueError: this handler always fails",
    )
    assert listed("/admin/handlers/delivery/", state="dead", group=group.name) == [delivery]


def test_groups_do_not_tell_sensitive_values_apart(client_who, listener, fail):
    listener.sensitive_fields = ["Phone"]
    listener.save()
    one, other = fail("ValueError: *** is odd", "ValueError: +49 30 1234567 is odd")

    assert one.error_group == other.error_group
    reader = client_who("view_delivery")
    assert [group.error for group in groups(reader)] == ["ValueError: ••• is odd"]
    assert "1234567" not in reader.get(PAGE).content.decode()


@pytest.mark.django_db(transaction=True)
def test_a_group_is_sent_again_with_its_count_and_a_reason(admin_client, broker, listener, fail):
    mapping = make_mapping(listener)
    fail("KeyError: 'Phone'", "KeyError: 'Name'", mapping=mapping)
    [other] = fail("ValueError: no", mapping=mapping)
    [group] = [one for one in groups(admin_client) if one.count == 2]
    address = f"{PAGE}redeliver/?state=dead&group={group.name}"

    asked = admin_client.get(address).content.decode()
    assert "Redeliver 2" in asked
    assert not Redelivery.objects.exists()
    answer = admin_client.post(address, {"confirm": "yes", "reason": "mended"})

    redelivery = Redelivery.objects.get()
    assert answer.url == f"/admin/handlers/redelivery/{redelivery.pk}/change/"
    assert redelivery.reason == "mended"
    assert list(Delivery.objects.filter(state="dead")) == [other]


@pytest.mark.django_db(transaction=True)
def test_what_holds_records_back_is_given_up_by_group(admin_client, broker, fail, make_delivery):
    dead = fail("KeyError: 'a'", "KeyError: 'b'", halts=True, chain="")
    for number, one in enumerate(dead):
        Delivery.objects.filter(pk=one.pk).update(chain=f"1:{number}")
        make_delivery(state="blocked", chain=f"1:{number}")
    [group] = groups(admin_client)
    assert group.halting == 2
    address = f"{PAGE}go-on/?state=dead&group={group.name}"

    assert "Skip 2 and continue" in admin_client.get(address).content.decode()
    admin_client.post(address, {"confirm": "yes", "reason": "gone"})

    assert not Delivery.objects.filter(halts=True).exists()
    assert not Delivery.objects.filter(state="blocked").exists()
    assert OperatorAction.objects.filter(action="go_on", reason="gone").count() == 2
    assert "gone" in Delivery.objects.get(pk=dead[0].pk).error


def test_a_handler_is_paused_and_resumed_with_all_its_mappings(admin_client, listener, fail):
    mappings = [make_mapping(listener, on) for on in ("create", "update")]
    fail("KeyError: 'a'", mapping=mappings[0])
    address = "/admin/handlers/handlermapping/handler/{}/?name=tests.remember"
    assert address.format("pause") in admin_client.get(PAGE).content.decode()

    assert "2 mappings" in admin_client.get(address.format("pause")).content.decode()
    admin_client.post(address.format("pause"), {"confirm": "yes", "reason": "their API is down"})

    paused = HandlerMapping.objects.paused().values_list("paused_by", "pause_reason")
    assert list(paused) == [("admin", "their API is down")] * 2
    assert address.format("resume") in admin_client.get(PAGE).content.decode()
    admin_client.post(address.format("resume"), {"confirm": "yes"})
    assert not HandlerMapping.objects.paused().exists()
    noted = OperatorAction.objects.order_by("id").values_list("action", flat=True)
    assert list(noted) == ["pause", "pause", "resume", "resume"]
    assert (
        admin_client.get("/admin/handlers/handlermapping/handler/pause/?name=x").status_code == 404
    )


def test_without_permission_there_is_no_button_and_actions_are_refused(client_who, listener, fail):
    fail("KeyError: 'a'", mapping=make_mapping(listener), halts=True)
    [group] = groups(reader := client_who("view_delivery", "view_handlermapping"))

    html = reader.get(PAGE).content.decode()
    assert "Show deliveries" in html
    for word in ("Redeliver all", "and continue", "Pause<"):
        assert word not in html
    for address in (
        f"{PAGE}redeliver/?group={group.name}",
        f"{PAGE}go-on/?group={group.name}",
        "/admin/handlers/handlermapping/handler/pause/?name=tests.remember",
        f"/admin/handlers/handlermapping/{HandlerMapping.objects.get().pk}/pause/",
    ):
        assert reader.get(address).status_code == 403
        assert reader.post(address, {"confirm": "yes"}).status_code == 403
    assert client_who("view_worker").get(PAGE).status_code == 403


def test_the_page_takes_as_many_queries_for_one_group_as_for_many(admin_client, fail):
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            admin_client.get(PAGE)
        return len(captured)

    fail("KeyError: 'a'")
    one = queries()
    fail(*(f"Error{'abcdefghij'[n]}: no" for n in range(10) for _ in range(3)))

    assert queries() == one


@pytest.mark.skipif(connection.vendor != "postgresql", reason="not on SQLite")
def test_the_groups_are_counted_from_an_index_alone(listener, make_entry):
    # Rows of earlier tests leave statistics with which a small table is read in other ways.
    others = ("seqscan", "bitmapscan", "sort", "hashagg")
    with connection.cursor() as cursor:
        for way in others:
            cursor.execute(f"SET enable_{way} = off")
        cursor.execute(
            "EXPLAIN SELECT error_group, count(id), count(id) FILTER (WHERE halts), "
            "min(started_at), max(started_at), max(id) FROM handlers_delivery "
            "WHERE state = 'dead' GROUP BY error_group"
        )
        plan = "\n".join(row[0] for row in cursor.fetchall())
        for way in others:
            cursor.execute(f"SET enable_{way} = on")
    assert "Index Only Scan using delivery_error_group" in plan

"""Deliveries that the pytest plugin makes: to handlers of its user, through the product's path."""

import pytest
from celery import shared_task
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import connection, transaction

from handlers import BatchFailed, EventData, Retry, Skipped, cdc_handler
from handlers.models import Delivery, HandlerMapping
from listeners.models import Listener
from pytest_cdc.broker import BrokenTransaction
from pytest_cdc.delivered import NothingToDo
from pytest_cdc.mappings import CannotDeliver
from pytest_cdc.salesforce import NoOrg

CALLS: list[object] = []


@pytest.fixture(autouse=True)
def calls():
    CALLS.clear()
    return CALLS


@cdc_handler
def as_told(event: EventData) -> object:
    """As the change's fields tell."""
    CALLS.append(event)
    told = event.changed_data.get("Do")
    if told == "skip":
        return Skipped("nothing to do")
    if told == "retry" and event.attempt == 1:
        raise Retry("not yet", after=60)
    if told == "fail":
        raise ValueError("no such account")
    return None


@cdc_handler(max_attempts=2, batch=3)
def batch_as_told(events: list[EventData]) -> None:
    CALLS.append(events)
    failed = {one: one.changed_data["Do"] for one in events if one.changed_data.get("Do")}
    if failed:
        later = Retry("this one later", after=60)
        raise BatchFailed({one: later if do == "wait" else "no" for one, do in failed.items()})


@cdc_handler(atomic=True)
def write(event: EventData) -> None:
    """A group of the change's name; and again where it says so."""
    Group.objects.create(name=event.changed_data["Name"])
    transaction.on_commit(lambda: CALLS.append("committed"))
    if event.changed_data.get("Twice"):
        Group.objects.create(name=event.changed_data["Name"])


@cdc_handler
def write_apart(event: EventData) -> None:
    """The same, not atomic."""
    Group.objects.create(name=event.changed_data["Name"])
    Group.objects.create(name=event.changed_data["Name"])


@shared_task(name="tests.elsewhere")
def elsewhere(**_: object) -> None:
    raise AssertionError("it is sent, and not run")


@cdc_handler
def send(event: EventData) -> None:
    elsewhere.delay(record=event.metadata.record_id)


@cdc_handler
def call_back(event: EventData) -> None:
    CALLS.append(event.salesforce.Account.get(event.metadata.record_id))


def groups() -> list[str]:
    """What was written; the roles are groups too."""
    return sorted(Group.objects.filter(name__startswith="-").values_list("name", flat=True))


def test_a_handler_that_returns_has_succeeded(cdc_event, cdc_deliver):
    event = cdc_event("Account", "update", changed={"Name": "New"})

    delivered = cdc_deliver(event, to=as_told, options={"a": 1})

    assert delivered.succeeded
    assert (delivered.state, delivered.error, delivered.reason) == ("succeeded", "", "")
    assert delivered.outcomes == ["succeeded"]
    [got] = CALLS
    assert (got.id, got.changed_data, got.attempt) == (event.id, event.changed_data, 1)
    assert got.options == {"a": 1}


def test_one_that_has_nothing_to_do_says_why(cdc_event, cdc_deliver):
    delivered = cdc_deliver(cdc_event("Account", changed={"Do": "skip"}), to=as_told)

    assert delivered.skipped
    assert (delivered.reason, delivered.error) == ("nothing to do", "")


def test_a_retry_waits_for_its_time(cdc_event, cdc_deliver):
    delivered = cdc_deliver(cdc_event("Account", changed={"Do": "retry"}), to=as_told)

    assert delivered.retrying
    assert (delivered.delay, delivered.error) == (60, "not yet")
    cdc_deliver.after(seconds=59.999)
    assert (delivered.retrying, delivered.delay) == (True, 0.001)
    cdc_deliver.after(seconds=0.001)
    assert delivered.succeeded
    assert delivered.outcomes == ["retry", "succeeded"]
    assert [one.attempt for one in CALLS] == [1, 2]


def test_a_failure_is_tried_until_it_is_dead_and_can_be_sent_again(cdc_event, cdc_deliver):
    event = cdc_event("Account", changed={"Do": "fail"})
    delivered = cdc_deliver(event, to=as_told, max_attempts=2)

    assert delivered.retrying
    assert delivered.error == "ValueError: no such account"
    assert "in as_told" in delivered.traceback
    assert repr(delivered).endswith(" s: ValueError: no such account>")
    assert delivered.again().dead
    with pytest.raises(NothingToDo, match="there is no next attempt"):
        delivered.again()
    assert delivered.redeliver().retrying
    assert delivered.until_ended().dead
    assert delivered.outcomes == ["failed"] * 4


def test_the_next_change_of_a_record_waits_for_the_one_before_it(cdc_event, cdc_deliver):
    created = cdc_event("Account", changed={"Do": "retry"})
    record = created.metadata.record_id
    updated = cdc_event("Account", "update", record_id=record, changed={"Name": "New"})

    first, second = cdc_deliver([created, updated], to=as_told)

    assert (first.retrying, second.blocked) == (True, True)
    cdc_deliver.again()
    assert (first.succeeded, second.succeeded) == (True, True)
    assert [one.metadata.change_type for one in CALLS] == ["CREATE", "CREATE", "UPDATE"]


def test_so_does_one_that_is_delivered_later(cdc_event, cdc_deliver):
    created = cdc_event("Account", changed={"Do": "retry"})
    record = created.metadata.record_id
    cdc_deliver(created, to=as_told)

    later = cdc_deliver(cdc_event("Account", "delete", record_id=record), to=as_told)

    assert later.blocked


def test_a_batch_handler_gets_a_list_and_fails_for_some(cdc_event, cdc_deliver):
    events = [cdc_event("Account", changed={"Do": "fail" if n == 1 else ""}) for n in range(4)]

    delivered = cdc_deliver(events, to=batch_as_told)

    assert [one.state for one in delivered] == ["succeeded", "retrying", "succeeded", "succeeded"]
    assert [len(batch) for batch in CALLS] == [3, 1]
    cdc_deliver.again()
    assert delivered[1].dead
    assert len(CALLS[-1]) == 1


def test_those_that_a_batch_tells_to_wait_do(cdc_event, cdc_deliver):
    events = [cdc_event("Account", changed={"Do": told}) for told in ("wait", "")]

    waiting, _ = cdc_deliver(events, to=batch_as_told)

    assert (waiting.retrying, waiting.delay) == (True, 60)
    cdc_deliver.after(seconds=59)
    assert waiting.retrying
    cdc_deliver.after(seconds=1)
    assert waiting.dead


def test_a_single_change_is_a_list_of_one_to_it(cdc_event, cdc_deliver):
    assert cdc_deliver(cdc_event("Account"), to=batch_as_told).succeeded
    assert [len(batch) for batch in CALLS] == [1]


@pytest.mark.parametrize("mapping", [{"condition": {"field": "Name", "equals": "B"}}])
def test_a_condition_that_is_not_met_says_so(cdc_event, cdc_deliver, mapping):
    event = cdc_event("Account", changed={"Name": "A"})

    delivered = cdc_deliver(event, to=as_told, **mapping)

    assert delivered.missed == "the condition is not met"
    assert (delivered.state, delivered.reason) == ("", "the condition is not met")
    assert not CALLS
    with pytest.raises(NothingToDo, match="the condition is not met"):
        _ = delivered.delivery


def test_the_changed_fields_of_a_mapping_count(cdc_event, cdc_deliver):
    event = cdc_event("Account", "update", changed={"Phone": "1"})

    assert cdc_deliver(event, to=as_told, changed_fields=["Name"]).missed
    assert cdc_deliver(event, to=as_told, changed_fields=["Phone"]).succeeded


def test_an_echo_is_skipped_with_the_reason(cdc_event, cdc_deliver):
    event = cdc_event("Account", client="my-app")

    delivered = cdc_deliver(event, to=as_told, ignore_origins=["my-app"])

    assert delivered.skipped
    assert delivered.reason == "written by client my-app, which this mapping leaves out"
    assert delivered.outcomes == []


def test_a_gap_event_itself_is_delivered(cdc_event, cdc_deliver):
    assert cdc_deliver(cdc_event("Account", "GAP_UPDATE"), to=as_told).succeeded
    assert CALLS[0].metadata.change_type == "GAP_UPDATE"


@pytest.mark.parametrize("source", ["gap", "reconcile"])
def test_so_is_what_was_read(cdc_event, cdc_deliver, source):
    event = cdc_event("Account", "update", changed={"Name": "A"}, source=source)

    assert cdc_deliver(event, to=as_told).succeeded
    assert CALLS[0].changed_data["Name"] == "A"


@pytest.mark.parametrize(
    "real", [False, pytest.param(True, marks=pytest.mark.django_db(transaction=True))]
)
class TestAtomic:
    def test_what_a_failed_attempt_wrote_is_undone(self, cdc_event, cdc_deliver, real):
        event = cdc_event("Account", changed={"Name": "-a", "Twice": True})

        delivered = cdc_deliver(event, to=write)

        assert delivered.retrying
        assert delivered.error.startswith("IntegrityError")
        assert (groups(), CALLS) == ([], [])
        assert connection.in_atomic_block is not real

    def test_what_it_wrote_stays_with_its_success(self, cdc_event, cdc_deliver, real):
        assert cdc_deliver(cdc_event("Account", changed={"Name": "-a"}), to=write).succeeded
        assert (groups(), CALLS) == (["-a"], ["committed"])


def test_one_that_breaks_the_tests_transaction_is_told_what_to_do(cdc_event, cdc_deliver):
    event = cdc_event("Account", changed={"Name": "-a"})

    with pytest.raises(BrokenTransaction, match=r"django_db\(transaction=True\)"):
        cdc_deliver(event, to=write_apart)


@pytest.mark.django_db(transaction=True)
def test_with_real_transactions_it_breaks_nothing(cdc_event, cdc_deliver):
    delivered = cdc_deliver(cdc_event("Account", changed={"Name": "-a"}), to=write_apart)

    assert delivered.error.startswith("IntegrityError")
    assert groups() == ["-a"]


def test_an_idempotent_handler_passes(cdc_event, cdc_deliver):
    event = cdc_event("Account", "update", changed={"Name": "New"})

    delivered = cdc_deliver.assert_idempotent(
        event, to=as_told, seen=lambda: {one.id for one in CALLS}
    )

    assert delivered.outcomes == ["succeeded"] * 2
    assert [(one.id, one.attempt) for one in CALLS] == [(event.id, 1), (event.id, 2)]


def test_of_another_it_is_shown_what_the_second_time_did(cdc_event, cdc_deliver):
    event = cdc_event("Account")

    with pytest.raises(AssertionError) as failed:
        cdc_deliver.assert_idempotent(
            event, to=as_told, seen=lambda: [one.attempt for one in CALLS]
        )

    assert "the second time changes something" in str(failed.value)
    assert str(failed.value).endswith(" 1\n+2")


def test_or_that_it_fails_the_second_time(cdc_event, cdc_deliver):
    event = cdc_event("Account", changed={"Name": "-a"})

    with pytest.raises(AssertionError, match=r"the second time fails: .*IntegrityError"):
        cdc_deliver.assert_idempotent(event, to=write, seen=groups)


def test_or_that_it_fails_at_once(cdc_event, cdc_deliver):
    event = cdc_event("Account", changed={"Do": "fail"})

    with pytest.raises(AssertionError, match=r"not even the first time: .*no such account"):
        cdc_deliver.assert_idempotent(event, to=as_told, seen=groups)


def test_what_a_handler_sends_is_kept_and_not_run(cdc_event, cdc_deliver):
    event = cdc_event("Account")

    assert cdc_deliver(event, to=send).succeeded

    [message] = cdc_deliver.sent
    assert (message.task, message.queue) == ("tests.elsewhere", "celery")
    assert message.kwargs == {"record": event.metadata.record_id}


def test_event_salesforce_is_what_the_test_says(cdc_event, cdc_deliver, cdc_salesforce):
    class Account:
        @staticmethod
        def get(record_id: str) -> dict[str, str]:
            return {"Id": record_id}

    class Org:
        pass

    Org.Account = Account
    cdc_salesforce(Org)
    event = cdc_event("Account")

    assert cdc_deliver(event, to=call_back).succeeded
    assert [{"Id": event.metadata.record_id}] == CALLS


def test_without_a_word_of_it_a_call_back_says_what_is_missing(cdc_event, cdc_deliver):
    event = cdc_event("Account")

    assert "cdc_salesforce(stand_in)" in cdc_deliver(event, to=call_back).error
    with pytest.raises(NoOrg):
        call_back(event)


def test_an_event_can_be_given_to_the_function_itself(cdc_event):
    event = cdc_event("Account", changed={"Do": "skip"})

    assert as_told(event) == Skipped("nothing to do")


class TestMappings:
    @pytest.fixture
    def cdc_listener(self, db, tmp_path):
        file = tmp_path / "cdc.yaml"
        file.write_text(
            f"""
connections:
  - {{name: prod, auth: client_credentials, client_id: a, client_secret: b,
     base_url: "https://example.my.salesforce.com",
     token_url: "https://example.my.salesforce.com/services/oauth2/token"}}
listeners:
  - name: crm
    connection: prod
    handlers:
      - {{on: create, entity: Account, handler: {as_told.name}}}
      - on: create
        entity: Account
        handler: {write.name}
        condition: {{field: Name, equals: "-a"}}
      - {{on: update, entity: Account, task: tests.elsewhere}}
"""
        )
        call_command("apply_cdc_config", str(file))
        return Listener.objects.get(name="crm")

    def test_a_change_goes_to_each_mapping_of_its_kind(self, cdc_event, cdc_deliver):
        first, second = cdc_deliver.to_mappings(cdc_event("Account", changed={"Name": "-a"}))

        assert (first.mapping.handler, first.succeeded) == (as_told.name, True)
        assert (second.mapping.handler, second.succeeded) == (write.name, True)
        assert groups() == ["-a"]

    def test_and_says_which_miss_it(self, cdc_event, cdc_deliver):
        first, second = cdc_deliver.to_mappings(cdc_event("Account", changed={"Name": "-b"}))

        assert first.succeeded
        assert second.missed == "the condition is not met"

    def test_a_task_that_runs_elsewhere_is_sent(self, cdc_event, cdc_deliver):
        event = cdc_event("Account", "update", changed={"Name": "B"})

        [delivered] = cdc_deliver.to_mappings(event)

        assert delivered.state == "sent"
        [message] = cdc_deliver.sent
        assert message.kwargs["event"]["metadata"]["recordId"] == event.metadata.record_id

    def test_an_entity_without_a_mapping_is_told_what_there_is(self, cdc_event, cdc_deliver):
        with pytest.raises(CannotDeliver, match=r"crm is for create of Lead.*onCreate Account"):
            cdc_deliver.to_mappings(cdc_event("Lead"))

    def test_a_mapping_to_a_handler_that_nobody_registered_is_told(
        self, cdc_event, cdc_deliver, cdc_listener
    ):
        cdc_listener.mappings.filter(handler=write.name).update(handler="crm.gone")

        with pytest.raises(CannotDeliver, match=r"under the name 'crm\.gone'"):
            cdc_deliver.to_mappings(cdc_event("Account"))

    def test_what_a_comparison_found_is_delivered_once(self, cdc_event, cdc_deliver):
        event = cdc_event("Account", changed={"Name": "-a"}, source="reconcile")

        assert [one.succeeded for one in cdc_deliver.to_mappings(event)] == [True, True]
        assert len(CALLS) == 2  # as_told and write


def test_a_handler_that_nobody_registered_is_told_with_a_near_one(cdc_event, cdc_deliver):
    with pytest.raises(CannotDeliver, match=f"Did you mean '{as_told.name}'"):
        cdc_deliver(cdc_event("Account"), to=f"{as_told.name}s")
    with pytest.raises(CannotDeliver, match="put @cdc_handler before it"):
        cdc_deliver(cdc_event("Account"), to=groups)


@pytest.mark.parametrize(
    ("mapping", "why"),
    [
        ({"changed_fields": ["Name"]}, "changed_fields: Only updates have changed fields"),
        ({"condition": {"field": "Name"}}, "condition: "),
        ({"conditions": {}}, "has no conditions; say changed_fields, condition"),
        ({"handler": "another"}, "has no handler"),
    ],
)
def test_a_mapping_that_the_admin_would_refuse_is_refused(cdc_event, cdc_deliver, mapping, why):
    with pytest.raises(CannotDeliver) as refused:
        cdc_deliver(cdc_event("Account"), to=as_told, **mapping)

    assert why in str(refused.value)
    assert not HandlerMapping.objects.exists()


def test_so_are_options_that_the_handler_refuses(cdc_event, cdc_deliver):
    with pytest.raises(CannotDeliver, match="url is needed"):
        cdc_deliver(cdc_event("Account"), to="handlers.post_to_url", options={})


def test_a_change_that_was_delivered_is_not_delivered_anew(cdc_event, cdc_deliver):
    event = cdc_event("Account")
    cdc_deliver(event, to=as_told)

    with pytest.raises(CannotDeliver, match=r"Succeeded already: .*redeliver"):
        cdc_deliver(event, to=as_told)
    assert Delivery.objects.count() == 1


def test_an_event_of_somewhere_else_is_told_apart(cdc_event, cdc_deliver):
    event = EventData(10**9, "x", "1", {}, cdc_event("Account").metadata)

    with pytest.raises(CannotDeliver, match="make events with cdc_event"):
        cdc_deliver(event, to=as_told)

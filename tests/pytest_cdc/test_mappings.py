"""Mappings that a test's changes go by: its own words for one, and those of a configuration."""

import pytest
from django.core.management import call_command

from handlers.models import HandlerMapping
from listeners.models import Listener
from pytest_cdc.delivered import NothingToDo
from pytest_cdc.mappings import CannotDeliver
from tests.pytest_cdc.handlers import CALLS, as_told, groups, write


@pytest.mark.parametrize("mapping", [{"condition": {"field": "Name", "equals": "B"}}])
def test_a_condition_that_is_not_met_says_so(cdc_event, cdc_deliver, mapping):
    event = cdc_event("Account", changed={"Name": "A"})

    delivered = cdc_deliver(event, to=as_told, **mapping)

    assert delivered.missed == "the condition is not met"
    assert (delivered.state, delivered.reason) == ("", "the condition is not met")
    assert not CALLS
    with pytest.raises(NothingToDo, match="the condition is not met"):
        _ = delivered.delivery


def test_a_save_of_several_events_is_judged_as_a_whole(cdc_event, cdc_deliver):
    won = cdc_event("Opportunity", "update", changed={"StageName": "Won"})
    place = {"transaction_key": won.metadata.transaction_key, "sequence_number": 2}
    record_id = won.metadata.record_id
    new = cdc_event("Opportunity", "update", record_id=record_id, changed={"Type": "New"}, **place)
    parts = [{"field": "StageName", "equals": "Won"}, {"field": "Type", "equals": "New"}]

    first, second = cdc_deliver([won, new], to=as_told, condition={"all": parts})

    assert (first.missed, second.missed) == ("", "")
    assert (first.succeeded, second.succeeded) == (True, True)
    assert [call.id for call in CALLS] == [won.id, new.id]


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

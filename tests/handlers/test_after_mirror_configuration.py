"""`after: mirror` can be set in the file, the console and the API, and is refused without a
mirror."""

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError
from django.urls import reverse

from console.admin.mappings.form import HandlerMappingForm
from handlers.models import HandlerMapping
from mirror import service
from tests.commands.running import CONNECTION, ConfigurationFile
from tests.mirrored import (
    WAITING,
    followers,
    record,
    states_of_followers,
    update,
)
from tests.sample_data import ANN

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker", "journal")]


@pytest.mark.parametrize(
    ("entity", "message"),
    [
        ("Contact", "no mirror of Contact. Add one with `manage.py mirror add`"),
        ("*", "no mirror. Add one"),
    ],
)
def test_a_mapping_after_a_mirror_that_is_not_there_is_refused(listener, entity, message):
    mapping = HandlerMapping(
        listener=listener, on="update", entity=entity, handler="tests.remember", after="mirror"
    )
    with pytest.raises(ValidationError) as refused:
        mapping.full_clean()
    assert message in refused.value.message_dict["after"][0]


@pytest.mark.parametrize("entity", ["Account", "*"])
def test_a_mapping_after_a_mirror_is_accepted(listener, mirror, entity):
    HandlerMapping(
        listener=listener, on="update", entity=entity, handler="tests.remember", after="mirror"
    ).full_clean()


def test_the_error_names_what_is_mirrored(listener, mirror):
    mapping = HandlerMapping(
        listener=listener, on="update", entity="Lead", handler="tests.remember", after="mirror"
    )
    with pytest.raises(ValidationError, match="Mirrored: Account"):
        mapping.full_clean()


def test_a_mapping_without_a_handler_has_nothing_to_run_after_the_mirror(listener, mirror):
    with pytest.raises(ValidationError, match="Choose a handler or a task"):
        HandlerMapping(
            listener=listener, on="update", entity="Account", after="mirror"
        ).full_clean()


def test_a_mirror_that_handlers_run_after_is_not_removed(followed, mirror):
    with pytest.raises(service.Refused, match="run after the mirror"):
        service.remove(mirror, ANN)


def test_the_file_chooses_it_and_refuses_another_word(listener, mirror, tmp_path):
    file = ConfigurationFile(tmp_path / "cdc.yaml")
    text = CONNECTION + f"listeners:\n  - name: {listener.name}\n    connection: prod\n"
    text += (
        "    handlers:\n      - {on: update, entity: ENTITY, handler: tests.fail, after: WORD}\n"
    )
    wanted = text.replace("ENTITY", "Account")

    file.apply(wanted.replace("WORD", "mirror"))
    assert HandlerMapping.objects.get(handler="tests.fail").after == "mirror"

    with pytest.raises(CommandError, match="after: 'load' is not valid; use one of mirror"):
        file.apply(wanted.replace("WORD", "load"))
    with pytest.raises(CommandError, match="after: This listener has no mirror of Lead"):
        file.apply(text.replace("ENTITY", "Lead").replace("WORD", "mirror"))

    file.apply(wanted.replace(", after: WORD", ""))
    assert HandlerMapping.objects.get(handler="tests.fail").after == ""


def test_the_api_chooses_it_and_says_what_is_missing(listener, mirror, admin_client):
    wanted = {"listener": listener.name, "on": "update", "handler": "tests.fail", "after": "mirror"}
    address, kind = "/api/v1/handler-mappings/", "application/json"

    made = admin_client.post(address, {**wanted, "entity": "Account"}, kind).json()
    assert made["after"] == "mirror"
    page = f"{address}{made['id']}/"
    assert admin_client.patch(page, {"after": ""}, kind).json()["after"] == ""
    record(listener, update())
    assert admin_client.patch(page, {"after": "mirror"}, kind).json()["after"] == "mirror"
    assert states_of_followers() == [WAITING]
    refused = admin_client.post(address, {**wanted, "entity": "Lead"}, kind).json()
    [error] = refused["errors"]
    assert (error["field"], "no mirror of Lead" in error["message"]) == ("after", True)


def test_the_console_chooses_it_and_says_what_is_missing(listener, mirror):
    data = {"on": "update", "handler": "tests.fail", "after": "mirror", "options": "{}"}
    data |= {"ordering": "per_record", "on_dead": "continue"}

    def form(entity):
        return HandlerMappingForm(
            data | {"entity": entity}, instance=HandlerMapping(listener=listener)
        )

    assert form("Account").is_valid()
    assert "no mirror of Lead" in form("Lead").errors["after"][0]


def test_the_api_gives_the_reason(followed, admin_client):
    record(followed, update())
    [delivery] = followers()

    waits_for = admin_client.get(f"/api/v1/deliveries/{delivery.pk}/").json()["waits_for"]

    assert waits_for["reason"].startswith("It waits for the mirror of Account")


def test_the_pages_of_the_delivery_and_its_entry_give_the_reason(followed, admin_client):
    record(followed, update())
    [delivery] = followers()

    for name, pk in (
        ("handlers_delivery", delivery.pk),
        ("audit_auditlogentry", delivery.entry_id),
    ):
        html = admin_client.get(reverse(f"admin:{name}_change", args=[pk])).content.decode()
        assert "waits for the mirror of Account" in html

"""A mirror is added when its model fits the object in the org, whose fields are then known."""

import pytest

from mirror import service
from tests.mirror.crm.models import Opportunity
from tests.sample_data import ANN, connection_to, make_listener
from tests.simulator.process import SimulatorProcess

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def org():
    with SimulatorProcess() as simulator:
        yield simulator


@pytest.fixture
def listener(org):
    return make_listener(connection=connection_to(org.url, org.credentials, name="prod"))


def test_the_objects_fields_are_known_from_the_beginning(listener):
    mirror = service.add("crm.Opportunity", listener, by=ANN)
    assert mirror.described["CloseDate"] == "date"
    assert mirror.described["AccountId"] == "reference"


def test_a_model_whose_column_does_not_fit_is_refused(listener, org):
    org.field_type("Opportunity", "CloseDate", "string")
    try:
        with pytest.raises(service.Refused, match="close_date is a DateField, and CloseDate is of"):
            service.add("crm.Opportunity", listener, by=ANN)
    finally:
        org.field_type("Opportunity", "CloseDate", "date")


def test_a_column_without_a_field_is_refused(listener, org):
    org.entity("Opportunity", hidden=["NextStep"])
    try:
        with pytest.raises(service.Refused, match=r"Opportunity\.next_step: .* no field"):
            service.add(Opportunity._meta.label, listener, by=ANN)
    finally:
        org.entity("Opportunity", hidden=[])


def test_an_object_that_the_channel_does_not_carry_is_refused(listener, org):
    org.entity("Opportunity", selected=False)
    try:
        with pytest.raises(service.Refused, match="does not carry changes of Opportunity"):
            service.add("crm.Opportunity", listener, by=ANN)
        org.access(view_setup=False)
        assert service.add("crm.Opportunity", listener, by=ANN).pk  # nothing is known of it
    finally:
        org.access(view_setup=True)
        org.entity("Opportunity", selected=True)


def test_an_object_that_the_channel_filters_is_refused(listener, org):
    listener.channel = org.channel(
        "Filtered__chn", "Opportunity", filters={"Opportunity": "StageName = 'Won'"}
    )
    listener.save()

    with pytest.raises(
        service.Refused, match=r"filters changes of Opportunity \(StageName = 'Won'\)"
    ):
        service.add("crm.Opportunity", listener, by=ANN)

    listener.channel = org.channel("Unfiltered__chn", "Opportunity")
    listener.save()
    assert service.add("crm.Opportunity", listener, by=ANN).pk

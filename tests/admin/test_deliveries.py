"""Deliveries are found by state, handler, listener and record."""

from tests.sample_data import make_listener

DELIVERIES = "/admin/handlers/delivery/"


def test_deliveries_are_filtered_by_state(listed, make_delivery):
    make_delivery()
    dead = make_delivery(state="dead")
    assert listed(DELIVERIES, state="dead") == [dead]


def test_deliveries_are_filtered_by_handler(listed, make_delivery):
    make_delivery()
    other = make_delivery(handler="gone.handler")
    assert listed(DELIVERIES, handler="gone.handler") == [other]


def test_deliveries_are_filtered_by_listener(listed, make_entry, make_delivery):
    make_delivery()
    other = make_delivery(make_entry(listener=make_listener(name="another")))
    assert listed(DELIVERIES, listener="another") == [other]


def test_deliveries_are_found_by_record(listed, make_entry, make_delivery):
    make_delivery()
    wanted = make_delivery(make_entry(record_id="0015g00000EqG9GAAV"))
    assert listed(DELIVERIES, q="0015g00000EqG9G") == [wanted]

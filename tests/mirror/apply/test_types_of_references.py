"""The object that a polymorphic reference points to is known for objects of the org's own too."""

import pytest
from django.db import models

from handlers import EventData
from handlers.listener_rest_client import rest_of
from handlers.sdk.events import Metadata
from mirror.apply.change import decode
from mirror.apply.record_rows import prefixes_for, rows_of_records
from mirror.schema.columns import columns_of
from tests.mirror.apply.changing import START, written
from tests.mirror.test_columns import a_model
from tests.sample_data import listener_of

ACCOUNT, OWN = "001000000000001AAA", "a0X000000000001AAA"
MODEL = a_model(
    what_id=models.CharField(max_length=18, null=True), what_type=models.TextField(null=True)
)
COLUMNS = columns_of(MODEL).against(
    {"Id": "id", "WhatId": "reference", "LastModifiedDate": "datetime"}
)


def record(what):
    return {"Id": "00T000000000001AAA", "WhatId": what, "LastModifiedDate": written(START)}


def types(found):
    return [
        dict(zip(names, row, strict=True))["what_type"]
        for names, rows in found.rows.items()
        for row in rows
    ]


@pytest.mark.django_db(transaction=True)
def test_a_read_asks_the_org_for_the_objects_of_its_own_alone(simulator):
    [employee] = simulator.create("Employee__c", {"First_Name__c": "Ann"})
    rest = rest_of(listener_of(simulator))
    before = len(simulator.api_requests())

    standard = prefixes_for(rest, COLUMNS, [record(ACCOUNT), record(None)])
    assert types(rows_of_records(COLUMNS, [record(ACCOUNT), record(None)], standard)) == [
        "Account",
        None,
    ]
    assert len(simulator.api_requests()) == before

    own = prefixes_for(rest, COLUMNS, [record(employee)])
    assert types(rows_of_records(COLUMNS, [record(employee)], own)) == ["Employee__c"]


@pytest.mark.parametrize(("what", "unread"), [(ACCOUNT, ""), (None, ""), (OWN, "field")])
def test_an_event_that_refers_to_such_an_object_has_the_record_read(what, unread):
    body = {"WhatId": what, "LastModifiedDate": written(START)}
    metadata = Metadata(
        entity_name="Task",
        change_type="UPDATE",
        change_origin="",
        transaction_key="t1",
        sequence_number=1,
        commit_timestamp=START,
        commit_number=1,
        commit_user="",
        record_id="00T000000000001AAA",
        record_ids=("00T000000000001AAA",),
        changed_fields=tuple(body),
        nulled_fields=(),
        diff_fields=None,
    )

    assert decode(COLUMNS, EventData(1, "listener", "5", body, metadata)).unread == unread

"""Verifications compare the objects that references point to, by the prefixes of the org."""

from __future__ import annotations

import pytest
from django.db import models

from mirror.schema.columns import columns_of
from mirror.schema.values import to_columns
from mirror.verify.compare import FieldRules, compare
from mirror.verify.comparison import Comparison
from mirror.verify.here import Here
from tests.mirror.load.loading import mirror_of
from tests.mirror.test_columns import a_model

TYPES = {"Id": "id", "WhatId": "reference"}
COLUMNS = columns_of(
    a_model(
        what_id=models.CharField(max_length=18, null=True), what_type=models.TextField(null=True)
    )
).against(TYPES)
TASK = "00T000000000001AAA"


def types_that_differ(stored, what, prefixes):
    row = {"is_complete": True, "is_deleted": False, "version": None, "raw": {}}
    row |= {"what_id": what, "what_type": stored}
    converted = to_columns(COLUMNS, {"Id": TASK, "WhatId": what}, prefixes=prefixes)
    found = compare(COLUMNS, TASK, converted, row, FieldRules(TYPES), version=None)
    return [(one.field, one.here, one.there) for one in found.mismatches]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("broker")
def test_the_type_of_a_reference_to_an_object_of_the_org_is_compared(simulator):
    [what] = simulator.create("Employee__c", {"First_Name__c": "Ann"})
    comparison = Comparison(mirror_of(simulator))
    comparison.here = Here(COLUMNS, "default")

    assert types_that_differ("Employee__c", what, comparison.prefixes) == []
    assert types_that_differ(None, what, comparison.prefixes) == [
        ("What.Type", None, "Employee__c")
    ]

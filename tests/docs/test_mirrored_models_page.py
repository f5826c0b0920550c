"""The model of docs/mirrored-models.md is a mirrored one, and its columns and checks are
complete."""

import re

from mirror import checks
from mirror.schema.columns import columns_of
from mirror.schema.naming import OWN
from tests.docs.examples import DOCS, defined
from tests.docs.tables import named, rows_of
from tests.nursery import ROOT

PAGE = DOCS / "mirrored-models.md"


def test_its_model_is_a_mirrored_one():
    model = defined(PAGE)["Account"]
    columns = columns_of(model).against(["Name", "NumberOfEmployees", "BillingCity", "OwnerId"])
    assert not columns.missing
    assert not [*checks._model_messages(model)]


def test_the_columns_of_the_mirror_and_the_checks_are_all_there():
    code = (ROOT / "mirror/checks.py").read_text()
    first = {name for row in rows_of(PAGE) for name in named(row[0])}
    assert set(OWN) <= first
    assert set(re.findall(r"mirror\.[EW]\d{3}", code)) == {n for n in first if "mirror." in n}

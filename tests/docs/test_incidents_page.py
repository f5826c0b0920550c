"""docs/incidents.md says for each kind of incident what to do."""

import re

import pytest

from audit.models import Incident
from tests.docs.examples import DOCS

TEXT = (DOCS / "incidents.md").read_text()
#: By its heading.
SECTIONS = dict(re.findall(r"^## (.+?)\n(.+?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))


def test_there_is_a_section_for_each_kind_and_for_nothing_else():
    assert sorted(SECTIONS) == sorted(Incident.Kind.labels)


@pytest.mark.parametrize("kind", Incident.Kind)
def test_it_says_what_happened_and_when_it_closes(kind):
    section = SECTIONS[kind.label]

    assert section.lstrip().startswith("*"), "begin with what happened, in italics"
    assert "close" in section

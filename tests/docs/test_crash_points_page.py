"""docs/crash-points.md lists each point at which a process can be killed."""

import re

from tests.docs.examples import DOCS
from tests.docs.tables import named, rows_of
from tests.nursery import ROOT

PACKAGES = ("listeners", "audit", "handlers", "mirror", "consumer", "api", "console")
_REACHED = re.compile(r"crash_points\.reach\(\"(\w+)\"\)")


def test_each_point_has_a_row_and_each_row_a_point():
    sources = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    reached = {name for path in sources for name in _REACHED.findall(path.read_text())}

    told = {named(first)[0] for first, *_ in rows_of(DOCS / "crash-points.md")}

    assert len(reached) > 10
    assert told == reached

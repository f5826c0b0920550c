from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.listeners.salesforce.scripted import ScriptedOrg


@pytest.fixture
def org() -> Iterator[ScriptedOrg]:
    with ScriptedOrg() as running:
        yield running

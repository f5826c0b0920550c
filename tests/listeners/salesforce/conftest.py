from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests import samples
from tests.listeners.salesforce.scripted import ScriptedOrg


@pytest.fixture
def org() -> Iterator[ScriptedOrg]:
    with ScriptedOrg() as running:
        yield running


@pytest.fixture
def sample() -> Callable[[str], Any]:
    """Reads a real payload by its file name."""
    return samples.sample

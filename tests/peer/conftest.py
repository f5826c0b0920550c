import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from tests import sample_data
from tests.peer.process import HERE, PeerProcess, install_modules, missing_node
from tests.servers import free_port


@pytest.fixture(scope="session")
def peer_modules(pytestconfig: pytest.Config) -> Path:
    """The peer's node modules, installed once for these versions."""
    missing = missing_node()
    if missing:
        _not_run(missing)
    versions = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()[:12]
    kept = getattr(pytestconfig, "cache", None)  # absent under -p no:cacheprovider
    cache = kept.mkdir(f"peer-{versions}") if kept else Path(os.environ["CDC_TEST_FOLDER"])
    try:
        return install_modules(cache)
    except RuntimeError as error:
        _not_run(str(error))


def _not_run(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def peer(peer_modules: Path) -> Iterator[PeerProcess]:
    """A Salesforce org on a CometD server of another make."""
    with PeerProcess(peer_modules) as running:
        yield running


@pytest.fixture
def peer_listener(transactional_db, peer):
    """A listener of it, from the earliest event on, whose every change goes to a handler.

    It has no REST API to complete gap events from.
    """
    return sample_data.listener_of(peer, gap_policy="record")


@pytest.fixture
def absent_peer(peer_modules: Path) -> Iterator[PeerProcess]:
    """A peer with an address on which nothing listens before it is started."""
    peer = PeerProcess(peer_modules, port=free_port())
    yield peer
    peer.close()

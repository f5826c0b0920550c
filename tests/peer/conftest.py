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
    """The peer's node modules, installed once for their versions."""
    return node_modules(pytestconfig, HERE)


def node_modules(config: pytest.Config, home: Path) -> Path:
    """Return the node modules of a package.json, installed once for the versions of its lock.

    If they cannot be installed, the test is skipped, or fails where CI=true.
    """
    missing = missing_node()
    if missing:
        _not_run(missing)
    versions = hashlib.sha256((home / "package-lock.json").read_bytes()).hexdigest()[:12]
    kept = getattr(config, "cache", None)  # absent under -p no:cacheprovider
    cache = Path(os.environ["CDC_TEST_FOLDER"], f"{home.name}-{versions}")
    if kept:
        cache = kept.mkdir(f"{home.name}-{versions}")
    cache.mkdir(parents=True, exist_ok=True)
    try:
        return install_modules(cache, home)
    except RuntimeError as error:
        _not_run(str(error))


def _not_run(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def peer(peer_modules: Path) -> Iterator[PeerProcess]:
    """A simulated Salesforce org on another project's CometD server."""
    with PeerProcess(peer_modules) as running:
        yield running


@pytest.fixture
def peer_listener(transactional_db, peer):
    """A listener of that org, from the earliest event on, with a handler for every change.

    It has no REST API to complete gap events from.
    """
    return sample_data.listener_of(peer, gap_policy="record")


@pytest.fixture
def absent_peer(peer_modules: Path) -> Iterator[PeerProcess]:
    """A peer with an address on which nothing listens before it is started."""
    peer = PeerProcess(peer_modules, port=free_port())
    yield peer
    peer.close()

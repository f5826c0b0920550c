import os

import pytest
from playwright.sync_api import sync_playwright

from tests.browser.chromium import launch, missing_chromium
from tests.browser.visitor import Visitor
from tests.processes import BornProcess
from tests.servers import free_port


@pytest.fixture
def console(transactional_db, broker):
    """The console's address, and its server process."""
    port = free_port()
    server = BornProcess(
        "-m", "gunicorn", "cdcproject.wsgi", "-b", f"127.0.0.1:{port}", "--threads", "8",
        "--no-control-socket",
    )  # fmt: skip
    yield f"http://127.0.0.1:{port}", server
    server.close()


@pytest.fixture(scope="module")
def _chromium():
    """Chromium for one module: while Playwright runs, its thread has an event loop."""
    if missing := missing_chromium():
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as tools:
        # Django takes the loop for a sign that the test's own code is asynchronous.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        browser = launch(tools)
        yield browser
        browser.close()


@pytest.fixture
def visitor(_chromium, console):
    """A visitor with a new browser profile. The test fails if the browser reports errors."""
    address, server = console
    server.wait_for_output("Listening at")
    visitor = Visitor(_chromium, address, server)
    yield visitor
    visitor.leave()

"""The web server's /metrics contain the counts of all gunicorn processes, whichever answers."""

import signal

import psutil
import requests

from cdcproject.version import __version__
from tests.metrics.scraped import scrape
from tests.servers import free_port, wait_for


def test_requests_are_counted_whichever_process_answered_them(processes, listener):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    server = processes.start(
        "-m", "gunicorn", "cdcproject.wsgi", "--bind", f"127.0.0.1:{port}", WEB_CONCURRENCY="2"
    )
    wait_for(lambda: is_up(f"{url}/healthz/live"), what="the web server")
    children = wait_for(lambda: two(server.pid), what="two processes")

    for _ in range(6):  # each over a connection of its own
        assert requests.get(f"{url}/admin/login/", timeout=30).status_code == 200
    assert requests.get(f"{url}/api/v1/listeners/", timeout=30).status_code == 401
    assert requests.request("BREW", f"{url}/api/v1/listeners/", timeout=30).status_code == 401
    children[0].send_signal(signal.SIGKILL)
    children[0].wait()

    for _ in range(3):
        told = scrape(port)
        requests_ = "cdc_http_requests_total"
        assert told.by("status", requests_, area="console", method="GET") == {"200": 6}
        assert told.by("method", requests_, area="api", status="401") == {"GET": 1, "other": 1}
        assert told.total("cdc_http_request_seconds_count", area="console") == 6
        assert told.total("cdc_listener_enabled", listener=listener.name) == 1
        assert told.by("version", "cdc_build_info") == {__version__: 1}
    assert server.terminate() == 0


def is_up(address):
    try:
        return requests.get(address, timeout=30).ok
    except requests.ConnectionError:
        return False


def two(pid):
    children = psutil.Process(pid).children()
    return children if len(children) == 2 else None

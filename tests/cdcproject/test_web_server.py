"""gunicorn logs requests, loads settings and counts workers as its configuration says."""

import os
import subprocess
import sys
from datetime import timedelta
from types import SimpleNamespace

from structlog.testing import capture_logs

from cdcproject.web.access_log import StructuredLog
from tests.nursery import ROOT


def logged(path: str) -> str:
    answer = SimpleNamespace(status="404 Not Found", sent=10)
    asked = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "REMOTE_ADDR": "192.0.2.1"}
    with capture_logs() as lines:
        StructuredLog.__new__(StructuredLog).access(answer, None, asked, timedelta(seconds=1))
    [line] = lines
    return line["path"]


def test_a_path_begins_no_line_of_its_own():
    assert logged("/a\n2026-01-01T00:00:00Z [error] forged\x1b[31m") == (
        "/a%0A2026-01-01T00:00:00Z%20%5Berror%5D%20forged%1B%5B31m"
    )


def test_a_path_is_written_as_it_was_asked_for():
    for path in ("/admin/listeners/listener/1/change/", "/api/v1/status/"):
        assert logged(path) == path
    assert logged("/\xc3\xa4") == "/%C3%A4"  # as WSGI has it: bytes as Latin-1


FIRST_PROCESS = """
import sys
from gunicorn.config import Config
from cdcproject.web.access_log import StructuredLog
StructuredLog(Config())
print("cdcproject.settings" in sys.modules)
"""


def test_the_first_process_loads_no_settings():
    """Processes that it forks after a reload would have its old settings."""
    done = subprocess.run(
        [sys.executable, "-c", FIRST_PROCESS],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        check=True,
        capture_output=True,
        text=True,
    )

    assert done.stdout == "False\n"


SCHEME = """
import os, sys
from gunicorn.app.wsgiapp import WSGIApplication
from gunicorn.http.parser import RequestParser
from gunicorn.http.wsgi import create
sys.argv = ["gunicorn", "cdcproject.wsgi"]
config = WSGIApplication().cfg
asked = b"GET /admin/ HTTP/1.1\\r\\nHost: localhost\\r\\nX-Forwarded-Proto: https\\r\\n\\r\\n"
for client in (("127.0.0.1", 40000), ""):  # the second one comes over a UNIX socket
    request = next(RequestParser(config, iter([asked]), client))
    _, environ = create(request, None, client, ("127.0.0.1", 8000), config)
    print(environ["wsgi.url_scheme"], environ["HTTP_X_FORWARDED_PROTO"])
"""


def test_no_process_of_this_machine_can_claim_https():
    """Django reads the header itself where CDC_TRUSTED_PROXIES is set."""
    done = subprocess.run(
        [sys.executable, "-c", SCHEME],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        check=True,
        capture_output=True,
        text=True,
    )

    assert done.stdout == "http https\n" * 2


def test_zero_worker_processes_are_refused():
    done = subprocess.run(
        [sys.executable, "-m", "gunicorn", "--check-config", "cdcproject.wsgi"],
        cwd=ROOT,
        env=os.environ | {"WEB_CONCURRENCY": "0"},
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode != 0
    assert "configuration error: WEB_CONCURRENCY is 0; it must be 1 or more." in done.stderr
    assert "Traceback" not in done.stderr


COLLECTED = """
import gc
import cdcproject.wsgi
print(len(gc.get_objects()) < gc.get_freeze_count() / 100)
"""


def test_a_garbage_collection_does_not_scan_what_was_loaded_at_the_start():
    done = subprocess.run(
        [sys.executable, "-c", COLLECTED],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "DEBUG": "true"},
        check=True,
        capture_output=True,
        text=True,
    )

    assert done.stdout == "True\n"

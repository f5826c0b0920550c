"""The API's schema is valid and complete, and its page works offline."""

import re
import subprocess
import sys

import pytest
from django.conf import settings
from rest_framework.test import APIClient

from handlers.reporting.export import COLUMNS
from tests.api.requests import (
    AUDIT_LOG,
    CONNECTIONS,
    DELIVERIES,
    DESTINATIONS,
    EVERYTHING,
    INCIDENTS,
    LISTENERS,
    MAPPINGS,
    MIRRORS,
    REDELIVERIES,
    STATUS,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def schema(db):
    return APIClient().get("/api/schema/?format=json").json()


def test_it_is_generated_without_a_warning_and_is_valid():
    """It runs in a process of its own, because the generator also counts warnings of earlier
    runs."""
    done = subprocess.run(
        [sys.executable, "manage.py", "spectacular", "--validate", "--fail-on-warn"],
        cwd=settings.BASE_DIR,
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert done.stdout.startswith("openapi: 3.1.")


def test_it_is_openapi_3_1_and_has_every_address(schema):
    assert schema["openapi"].startswith("3.1.")
    assert set(schema["paths"]) == {
        *EVERYTHING,
        *(f"{address}{{id}}/" for address in EVERYTHING),
        *(f"{address}{{id}}/redeliver/" for address in (AUDIT_LOG, DELIVERIES)),
        f"{DELIVERIES}{{id}}/go-on/",
        f"{DELIVERIES}{{id}}/event/",
        f"{REDELIVERIES}{{id}}/cancel/",
        *(f"{INCIDENTS}{{id}}/{verb}/" for verb in ("acknowledge", "close")),
        *(f"{LISTENERS}{{id}}/{verb}/" for verb in ("start", "stop", "forget-position", "test")),
        *(f"{MAPPINGS}{prefix}{verb}/" for prefix in ("{id}/", "") for verb in ("pause", "resume")),
        *(
            f"{resource}{prefix}test/"
            for resource in (CONNECTIONS, DESTINATIONS)
            for prefix in ("{id}/", "")
        ),
        *(f"{MIRRORS}{{id}}/{verb}/" for verb in ("load", "verify", "repair")),
        *(f"{MIRRORS}{{id}}/{rows}/" for rows in ("runs", "differences")),
        f"{MIRRORS}{{id}}/runs/{{run}}/cancel/",
        STATUS,
    }


def test_every_operation_may_answer_with_a_problem(schema):
    for path in schema["paths"].values():
        for operation in path.values():
            content = operation["responses"]["default"]["content"]
            assert list(content) == ["application/problem+json"]
    assert "errors" in schema["components"]["schemas"]["Problem"]["properties"]


def test_an_entry_has_the_columns_of_the_export(schema):
    entry = schema["components"]["schemas"]["Entry"]

    assert list(entry["properties"]) == [*COLUMNS, "header_extra"]
    assert "header_extra" not in entry["required"]


SCRIPT = "/api/docs/?script="


def test_the_page_needs_no_other_host(client, db):
    html = client.get("/api/docs/").content.decode()

    assets = re.findall(r'(?:src|href)="([^"]+)"', html)
    assert len(assets) >= 4
    for asset in assets:
        assert asset.startswith(("/static/drf_spectacular_sidecar/", "/static/api/", SCRIPT))
        response = client.get(asset)
        assert response.status_code == 200, asset
        assert len(response.getvalue()) > 100
    assert SCRIPT in assets  # within the page it would not run
    assert not re.search(r"https?://(?!www\.w3\.org)", html)
    script = client.get(SCRIPT).content.decode()
    settings = re.search(r"const swaggerSettings = (\{.*?\});", script, re.DOTALL)
    assert settings is not None
    assert "validatorUrl: null" in settings[1]

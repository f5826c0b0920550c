"""The requests in docs/api.md work as they are written."""

import json
import re

import pytest
from django.conf import settings

from handlers.models import HandlerMapping
from tests.api.answers import problem
from tests.api.requests import CONNECTIONS, EVERYTHING, STATUS, connection, proxy


@pytest.fixture
def text() -> str:
    return (settings.BASE_DIR / "docs/api.md").read_text()


def test_the_example_makes_a_connection_a_listener_and_a_mapping(api, text):
    requests = re.findall(r"^post \$API/(\S+) -d '([^']+)'$", text, re.MULTILINE)
    assert [address for address, _ in requests] == [
        "connections/",
        "listeners/",
        "handler-mappings/",
    ]

    for address, body in requests:
        response = api.post(f"/api/v1/{address}", body, content_type="application/json")
        assert response.status_code == 201, response.content

    mapping = HandlerMapping.objects.exclude(handler="").get()
    assert (mapping.listener.name, mapping.listener.connection.name) == ("crm", "prod")


def test_the_problem_that_it_shows_is_the_one_that_comes(api, text):
    [shown] = re.findall(r"```json\n(.*?)```", text, re.DOTALL)

    found = problem(api.post(CONNECTIONS, connection(proxy_config=proxy(port=None))), 400)

    assert found == json.loads(shown)


def test_the_rate_that_it_names_is_the_setting(text):
    number, _, unit = settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"]["user"].partition("/")

    assert unit == "min"
    assert f"{number} requests a minute" in " ".join(text.split())


def test_every_address_is_there_with_its_filters(api, text):
    rows = re.findall(r"^\| `([a-z-]+/)` \|.*\|(.*)\|$", text, re.MULTILINE)
    told = {f"/api/v1/{address}": set(re.findall(r"`(\w+)`", told)) for address, told in rows}
    schema = api.get("/api/schema/?format=json").json()

    assert set(told) == {*EVERYTHING, STATUS}
    for address, filters in told.items():
        parameters = schema["paths"][address]["get"]["parameters"]
        names = {parameter["name"] for parameter in parameters if parameter["in"] == "query"}
        assert filters - {"failed"} == names - {"cursor", "page_size"}

"""Generated requests, allowed by the schema or not, cause no server error and no answer that is not
in the schema.

`make fuzz` sends far more requests, and different ones each time.
"""

import os

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from hypothesis import HealthCheck, Phase, given, settings
from rest_framework.authtoken.models import Token

from cdcproject.wsgi import application
from tests.api.filled import fill

pytestmark = pytest.mark.slow

EXAMPLES = int(os.environ.get("CDC_TEST_EXAMPLES", "0"))
CONFIG = {
    "checks": {
        # Whether the row has changed is looked at before the body is.
        "negative_data_rejection": {
            "expected-statuses": [400, 401, 403, 404, 405, 406, 409, 412, 415, 422, 428, 429]
        }
    }
}
#: Hypothesis' own; in the suite the same requests each time.
SETTINGS = settings(
    max_examples=EXAMPLES or 2,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
VERBS = ("get", "post", "put", "patch", "delete")


@pytest.fixture
def _unhurried(monkeypatch):
    """Lift the rate limits: an answer of 429 would not test the request."""
    for who in ("user", "anon", "login"):
        rates = django_settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"]
        monkeypatch.setitem(rates, who, "1000000/sec")


@pytest.fixture
def operations(transactional_db, broker, _unhurried):
    """All operations of the schema, deletions last."""
    import schemathesis  # for each worker that collects the tests, it is a second
    from schemathesis.config import SchemathesisConfig

    schema = schemathesis.openapi.from_wsgi(
        "/api/schema/?format=json", application, config=SchemathesisConfig.from_dict(CONFIG)
    )
    # They would look for each address that they are sent.
    for resource in ("connections", "destinations"):
        schema = schema.exclude(path=f"/api/v1/{resource}/test/")
    found = [result.ok() for result in schema.get_all_operations()]
    return sorted(found, key=lambda one: VERBS.index(one.method.lower()))


def _has_a_shape(operation) -> bool:
    """Return whether an invalid request can be generated for the operation."""
    return any(map(list, (operation.path_parameters, operation.query, operation.body)))


@pytest.mark.timeout(0 if EXAMPLES else 600)
@pytest.mark.parametrize("sent", ["positive", "negative"])
def test_no_answer_is_outside_the_schema(operations, sent):
    from schemathesis.generation.modes import GenerationMode
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    mode = GenerationMode(sent)
    # A request that the schema allows may contradict stored rows or another field.
    excluded = [positive_data_acceptance]
    fill()
    user = User.objects.create_superuser("ann")
    headers = {"Authorization": f"Token {Token.objects.create(user=user).key}"}
    for operation in operations:
        if mode is GenerationMode.NEGATIVE and not _has_a_shape(operation):
            continue

        @SETTINGS
        @given(case=operation.as_strategy(generation_mode=mode))
        def holds(case):
            case.call_and_validate(headers=headers, excluded_checks=excluded)

        holds()
    assert len(operations) >= 40

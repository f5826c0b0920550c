"""Compares the console's and the API's texts about a few deliveries with the database.

`python -m tests.chaos.external.console ID …` runs with the product's settings.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from tests.chaos.external.stage import Stage

_EXAMPLES = """
SELECT min(delivery_id) FROM handlers_deliveryattempt GROUP BY outcome
UNION SELECT min(id) FROM handlers_delivery WHERE state = 'succeeded' AND attempts = 1
HAVING count(*) > 0
"""


def shown(stage: Stage) -> list[str]:
    """Return what the pages of a delivery with an attempt of each outcome lack."""
    ids = [str(row[0]) for row in stage.database.rows(_EXAMPLES)]
    lines = stage.run("-m", "tests.chaos.external.console", *ids).splitlines()
    return [str(text) for text in json.loads(lines[-1])]


def main(delivery_ids: Sequence[str]) -> list[str]:
    import django

    django.setup()
    from django.contrib.auth.models import User
    from django.test import Client
    from django.test.utils import setup_test_environment

    from handlers.models import Delivery

    setup_test_environment()
    client = Client()
    client.force_login(User.objects.create_superuser("reader"))
    lacking = []
    for delivery in Delivery.objects.filter(pk__in=delivery_ids):
        pages = {
            page: client.get(page, secure=True)
            for page in (
                f"/admin/handlers/delivery/{delivery.pk}/change/",
                f"/admin/audit/auditlogentry/{delivery.entry_id}/change/",
                f"/api/v1/deliveries/{delivery.pk}/",
            )
        }
        for page, answer in pages.items():
            if answer.status_code != 200:
                lacking.append(f"{page}: {answer.status_code}")
                continue
            text = answer.content.decode().lower()
            words = [delivery.state, delivery.handler]
            if "audit" not in page:
                words += [attempt.outcome for attempt in delivery.all_attempts]
            lacking += [f"{page} does not say {word!r}" for word in words if word not in text]
    return lacking


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:])))

from datetime import timedelta

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from audit.partitions import ahead, splitting
from audit.partitions.table import gone, is_partitioned
from listeners.models import Position
from tests.commands.running import run
from tests.partitions.parts import SPLIT_DAYS_AGO

SQLITE = settings.DATABASES["default"]["ENGINE"].endswith("sqlite3")


def pytest_collection_modifyitems(items):
    skip = pytest.mark.skip(
        reason="SQLite has no partitioned tables; TEST_DATABASE=postgres runs this"
    )
    for item in items:
        if SQLITE and item.path.parent.name == "partitions" and "on_sqlite" not in item.name:
            item.add_marker(skip)


@pytest.fixture
def one_table(transactional_db, broker):
    """The audit log as the migrations make it; also afterwards."""
    yield
    Position.objects.update(lease_until=None)
    for name in gone():
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE {name}")
    run("partition_audit_log", "--undo")
    assert not is_partitioned()


@pytest.fixture
def months(one_table):
    """Partitioned half a year ago, and with a part for each month since."""
    then, now = timezone.now() - timedelta(days=SPLIT_DAYS_AGO), timezone.now()
    for _, step in splitting.steps(then):
        step()
    while then < now:
        then += timedelta(days=25)
        ahead.make(min(then, now))

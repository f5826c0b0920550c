import pytest
from django.core.management import CommandError

from audit.partitions import table, upkeep
from tests.commands.running import run
from tests.partitions.conftest import SQLITE
from tests.partitions.parts import ago

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(not SQLITE, reason="what is refused on SQLite"),
]


def test_it_is_refused_on_sqlite():
    with pytest.raises(CommandError, match="Only PostgreSQL has partitioned tables"):
        run("partition_audit_log")


def test_upkeep_does_nothing_on_sqlite():
    assert upkeep.keep_up(ago(0)) == []
    assert table.gone() == table.parts() == []

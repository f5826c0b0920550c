import pytest
from django.db import connection

from tests.handlers.leaving import KEPT


@pytest.fixture
def connection_closed_after():
    """Whatever a test leaves behind on its connection."""
    yield
    KEPT.clear()
    if connection.connection is not None:
        connection.connection.close()
    connection.in_atomic_block = connection.closed_in_transaction = False
    connection.close()

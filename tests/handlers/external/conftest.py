import pytest

from handlers.external import apps
from handlers.models import Destination
from tests.servers import RedisServer


@pytest.fixture(autouse=True)
def no_applications_of_other_tests():
    apps.forget()
    yield
    apps.forget()


@pytest.fixture
def shop_broker(tmp_path):
    """The broker of another project."""
    with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture
def shop(db, shop_broker):
    return Destination.objects.create(name="shop", broker=shop_broker.url)

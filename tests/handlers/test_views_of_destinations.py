"""Tasks of one name at two destinations are two targets, also once a mapping was deleted."""

import pytest

from handlers.models import Delivery, Destination, HandlerMapping
from handlers.superseded.history import Row, Views
from tests.sample_data import make_mapping

pytestmark = [pytest.mark.django_db, pytest.mark.anywhere]


@pytest.mark.parametrize("name", ["here", "elsewhere"])
def test_deliveries_of_a_deleted_mapping_count_at_its_own_destination(listener, name):
    places = {
        name: Destination.objects.create(name=name, broker="redis://127.0.0.1:1/0")
        for name in ("here", "elsewhere")
    }
    kept, deleted = (
        make_mapping(listener, "update", handler="", task="shop.sync", destination=places[where])
        for where in ("here", name)
    )
    deleted.delete()
    views = Views(HandlerMapping.with_deleted.filter(listener=listener))
    row = Row(2, 2, deleted.pk, "shop.sync", "succeeded", 1)

    others = views.others(Delivery(pk=1, mapping=kept), [row])

    assert others == ([row] if name == "here" else [])

"""The pages of connections, destinations, mappings and mirrors share these rules."""

import pytest

from handlers.models import Destination
from mirror.models import Mirror
from tests.mirror.adding import add
from tests.sample_data import make_mapping

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def lists(listener):
    """The address of each list, with a row in it."""
    Destination.objects.create(name="shop", broker="redis://localhost/0")
    make_mapping(listener)
    add(listener)
    assert Mirror.objects.exists()
    return {
        "destinations": "/admin/handlers/destination/",
        "mappings": "/admin/handlers/handlermapping/",
        "mirrors": "/admin/mirror/mirror/",
        "connections": "/admin/listeners/connection/",
    }


def test_rows_whose_page_names_what_uses_them_are_not_deleted_from_a_list(admin_client, lists):
    offering = {
        name for name, url in lists.items() if b"delete_selected" in admin_client.get(url).content
    }

    assert offering == {"connections"}


@pytest.mark.parametrize("which", ["destinations", "connections"])
@pytest.mark.parametrize("page", ["add/", "{pk}/change/", "test/", "{pk}/test/"])
def test_an_error_report_shows_nothing_that_was_entered(admin_client, lists, listener, which, page):
    stored = {"destinations": Destination.objects.get(), "connections": listener.connection}
    url = lists[which] + page.format(pk=stored[which].pk)

    response = admin_client.post(url, {"name": ""})

    assert response.status_code == 200
    assert response.wsgi_request.sensitive_post_parameters == "__ALL__"

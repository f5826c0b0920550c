"""A mapping can be paused and resumed on its page."""

from handlers.models import HandlerMapping
from tests.sample_data import make_mapping


def test_a_mapping_is_paused_on_its_page(admin_client, listener):
    mapping = make_mapping(listener)
    page = f"/admin/handlers/handlermapping/{mapping.pk}"
    assert f"{page}/pause/" in admin_client.get(f"{page}/change/").content.decode()

    admin_client.post(f"{page}/pause/", {"confirm": "yes", "reason": "why"}, follow=True)

    shown = admin_client.get(f"{page}/change/").content.decode()
    assert f"{page}/resume/" in shown
    assert f"{page}/pause/" not in shown
    assert HandlerMapping.objects.get(pk=mapping.pk).pause_reason == "why"

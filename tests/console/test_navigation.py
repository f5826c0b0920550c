"""The console's pages open, and each reader sees what is theirs."""

import pytest
from django.contrib.auth.models import Permission

PAGES = [
    "/admin/",
    "/admin/listeners/connection/",
    "/admin/listeners/connection/add/",
    "/admin/listeners/listener/",
    "/admin/listeners/listener/add/",
    "/admin/audit/auditlogentry/",
    "/admin/audit/incident/",
    "/admin/audit/quarantined/",
    "/admin/handlers/delivery/",
    "/admin/handlers/delivery/dead-letters/",
    "/admin/handlers/worker/",
    "/admin/audit/operatoraction/",
    "/admin/auth/user/",
    "/admin/auth/user/add/",
    "/admin/auth/group/",
    "/admin/auth/group/add/",
]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens(admin_client, page):
    assert admin_client.get(page).status_code == 200


def test_the_side_bar_holds_what_the_reader_may_see(client, django_user_model):
    reader = django_user_model.objects.create_user("reader", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_auditlogentry"))
    client.force_login(reader)
    groups = client.get("/admin/").context["sidebar_navigation"]
    assert [(g.get("title"), [item["title"] for item in g["items"]]) for g in groups] == [
        (None, ["Home"]),
        ("Activity", ["Audit log"]),
    ]


def test_who_is_not_logged_in_is_asked_to(client, db):
    response = client.get("/admin/audit/auditlogentry/")
    assert response.status_code == 302
    assert response.url.startswith("/admin/login/")

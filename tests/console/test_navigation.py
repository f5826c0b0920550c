"""The console's pages open, and each user's navigation shows the permitted ones."""

import re

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


def test_an_anonymous_visitor_has_to_log_in(client, db):
    response = client.get("/admin/audit/auditlogentry/")
    assert response.status_code == 302
    assert response.url.startswith("/admin/login/")


def breadcrumbs(html: str) -> list[str]:
    return re.findall(r'<(?:a href="[^"]*"|span) class="[^"]*truncate[^"]*">\s*(.*?)\s*<', html)


@pytest.mark.parametrize(
    ("path", "title", "crumbs"),
    [
        ("listeners/connection/", "Connections", ["Sources", "Connections"]),
        ("handlers/handlermapping/", "Handler mappings", ["Handlers", "Handler mappings"]),
        ("handlers/delivery/", "Deliveries", ["Handlers", "Deliveries"]),
        ("handlers/delivery/dead-letters/", "Dead letters", ["Handlers", "Dead letters"]),
        ("audit/quarantined/", "Quarantine", ["Activity", "Quarantine"]),
        ("audit/work/overview/", "Background jobs", ["Activity", "Background jobs"]),
        ("handlers/redelivery/", "Redeliveries", ["Activity", "Redeliveries"]),
        ("auth/user/", "Users", ["Access", "Users"]),
        ("listeners/listener/add/", "New listener", ["Sources", "Listeners", "New listener"]),
    ],
)
def test_titles_and_breadcrumbs_have_the_names_of_the_menu(admin_client, path, title, crumbs):
    html = admin_client.get(f"/admin/{path}").content.decode()
    assert f"{title} | Salesforce CDC</title>" in re.sub(r"\s+", " ", html).replace(" </t", "</t")
    assert breadcrumbs(html)[: len(crumbs)] == crumbs


def test_breadcrumbs_show_the_name_of_a_row_as_it_is_written(admin_client, make_delivery):
    delivery = make_delivery(handler="crm.cdc_handlers.sync_account", state="dead")
    html = admin_client.get(f"/admin/handlers/delivery/{delivery.pk}/change/").content.decode()
    assert breadcrumbs(html)[:3] == [
        "Handlers",
        "Deliveries",
        "crm.cdc_handlers.sync_account: dead",
    ]


def test_an_empty_list_says_what_belongs_there_and_a_filtered_one_that_nothing_matches(
    admin_client,
):
    html = admin_client.get("/admin/listeners/listener/").content.decode()
    assert "No listeners yet" in html
    assert "New listener" in html
    html = admin_client.get("/admin/listeners/listener/?q=crm").content.decode()
    assert "No listeners yet" not in html
    assert "Reset filters" in html

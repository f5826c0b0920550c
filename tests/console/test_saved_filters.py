"""Searches and filters of the audit log can be saved under a name."""

import pytest
from django.contrib.auth.models import Permission, User

from audit.models import SavedFilter
from console.admin.audit_log.saved_filters import kept

LOG = "/admin/audit/auditlogentry/"
QUERY = "entity=Account&state=dead"


@pytest.fixture
def colleague(client, db):
    user = User.objects.create_user("colleague", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_auditlogentry"))
    client.force_login(user)
    return client


def save(client, name="Dead accounts", query=QUERY, **more):
    return client.post(f"{LOG}save-filter/", {"name": name, "query": query, **more}, follow=True)


def names(client) -> list[str]:
    return [one["saved"].name for one in client.get(LOG).context["saved_filters"]]


def test_it_is_a_link_above_the_list_and_leads_to_what_it_finds(admin_client, make_entry):
    make_entry()
    wanted = make_entry(entity_name="Contact")
    save(admin_client, "Contacts", "entity=Contact")
    link = admin_client.get(LOG).context["saved_filters"][0]["href"]
    assert f'href="{link}"' in admin_client.get(LOG).content.decode()
    response = admin_client.get(f"{LOG}{link}")
    assert list(response.context["cl"].result_list) == [wanted]
    assert response.context["saved_filters"][0]["is_current"]


def test_one_of_that_name_is_replaced(admin_client):
    save(admin_client)
    save(admin_client, query="entity=Contact")
    assert SavedFilter.objects.get().query == "entity=Contact"


def test_the_page_and_what_is_left_empty_are_not_kept():
    assert kept("state=dead&before=5&entity=Account&change_type=&e=1&q=%00") == QUERY


@pytest.mark.parametrize(
    ("name", "query"), [("", QUERY), (" ", QUERY), ("All", ""), ("All", "p=2")]
)
def test_a_name_and_a_filter_are_needed(admin_client, name, query):
    assert "Enter a name" in save(admin_client, name, query).content.decode()
    assert not SavedFilter.objects.exists()


def test_ones_own_are_not_anothers_unless_shared(admin_client, colleague):
    save(admin_client, "Mine")
    save(admin_client, "Ours", is_shared="on")
    assert names(admin_client) == ["Mine", "Ours"]
    assert names(colleague) == ["Ours"]


def test_only_its_owner_deletes_it(admin_client, colleague):
    save(admin_client, is_shared="on")
    saved = SavedFilter.objects.get()
    assert colleague.post(f"{LOG}delete-filter/", {"id": saved.pk}).status_code == 403
    admin_client.post(f"{LOG}delete-filter/", {"id": saved.pk})
    assert not SavedFilter.objects.exists()


@pytest.mark.parametrize("path", ["save-filter/", "delete-filter/"])
def test_a_link_alone_saves_and_deletes_nothing(admin_client, path):
    assert admin_client.get(f"{LOG}{path}").status_code == 405


@pytest.mark.parametrize("path", ["save-filter/", "delete-filter/"])
def test_they_are_for_who_may_see_the_audit_log(client, db, path):
    client.force_login(User.objects.create_user("guest", is_staff=True))
    assert client.post(f"{LOG}{path}").status_code == 403


def test_a_name_is_escaped(admin_client):
    save(admin_client, "<script>1</script>")
    assert "<script>1" not in admin_client.get(LOG).content.decode()

"""Users are added in two steps and edited as in Django's admin, in the console's design."""

from django.contrib.auth.models import User


def test_a_user_is_added(admin_client):
    password = {"password1": "a-long-passphrase-1", "password2": "a-long-passphrase-1"}
    fields = {"username": "operator", "usable_password": "true", **password}
    response = admin_client.post("/admin/auth/user/add/", fields)
    user = User.objects.get(username="operator")
    assert response.url == f"/admin/auth/user/{user.pk}/change/"
    assert user.check_password("a-long-passphrase-1")


def test_a_user_has_a_page_and_a_page_for_the_password(admin_client, admin_user):
    page = admin_client.get(f"/admin/auth/user/{admin_user.pk}/change/")
    assert "admin@example.com" in page.content.decode()
    assert admin_user.password not in page.content.decode()
    assert admin_client.get(f"/admin/auth/user/{admin_user.pk}/password/").status_code == 200

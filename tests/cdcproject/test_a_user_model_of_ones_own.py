"""With another AUTH_USER_MODEL than Django's, every app of the product works."""

import pytest

from tests.cdcproject.own_project import OwnProject

SETTINGS = """
    from cdcproject.settings import *

    INSTALLED_APPS = [*INSTALLED_APPS, "people"]
    AUTH_USER_MODEL = "people.Person"
"""
#: Django's user with a further field; its console page is the product's.
EXTENDED = {
    "people/models.py": """
        from django.contrib.auth.models import AbstractUser
        from django.db import models


        class Person(AbstractUser):
            cost_center = models.CharField(max_length=20, blank=True)
    """,
}
#: Logs in by mail, has no `username`, and a console page of its own.
BY_MAIL = {
    "people/models.py": """
        from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
        from django.contrib.auth.models import PermissionsMixin
        from django.db import models


        class People(BaseUserManager):
            def create_superuser(self, email, password=None, **fields):
                person = self.model(email=email, is_superuser=True, is_staff=True, **fields)
                person.set_password(password)
                person.save()
                return person


        class Person(AbstractBaseUser, PermissionsMixin):
            email = models.EmailField(unique=True)
            is_staff = models.BooleanField(default=False)
            is_active = models.BooleanField(default=True)
            objects = People()
            USERNAME_FIELD = "email"
    """,
    "people/admin.py": """
        from django.contrib import admin

        from people.models import Person

        admin.site.register(Person)
    """,
}
#: In one process, since each that starts takes seconds.
SCRIPT = """
    import django
    django.setup()
    from django.contrib.auth import get_user_model
    from django.contrib.auth.models import Group
    from django.core.management import call_command
    from django.test import Client

    Person = get_user_model()
    call_command("migrate", verbosity=0)
    call_command("check")
    call_command("cdc_status")
    call_command("makemigrations", "--check", "--dry-run")
    who = {"username": "ann@example.com"} if Person.USERNAME_FIELD == "username" else {}
    call_command("createsuperuser", interactive=False, email="ann@example.com", verbosity=0, **who)
    call_command("create_api_token", "ann@example.com")
    person = Person.objects.get(**{Person.USERNAME_FIELD: "ann@example.com"})
    client = Client(SERVER_NAME="localhost")
    client.force_login(person)
    for page in (
        "/admin/",
        "/admin/people/person/",
        f"/admin/people/person/{person.pk}/change/",
        "/admin/people/person/add/",
        "/admin/listeners/listener/",
        "/admin/api/apitoken/?q=ann",
        "/admin/audit/operatoraction/",
        "/api/v1/listeners/",
    ):
        answer = client.get(page)
        assert answer.status_code == 200, (page, answer.status_code, answer.content[:2000])
    home = client.get("/admin/").content.decode()
    assert 'href="/admin/people/person/"' in home
    administrator = Group.objects.get(name="CDC Administrator")
    assert administrator.permissions.filter(codename="add_person").exists()
    print("pages are there")
"""


@pytest.mark.parametrize("files", [EXTENDED, BY_MAIL], ids=["extended", "by_mail"])
def test_commands_and_pages_work(tmp_path, files):
    project = OwnProject(tmp_path, {"DJANGO_SETTINGS_MODULE": "site_settings"})
    project.environment["DJANGO_SUPERUSER_PASSWORD"] = "correct horse battery"
    project.write({"site_settings.py": SETTINGS, "people/__init__.py": "", "script.py": SCRIPT})
    project.write(files)
    project.manage("makemigrations", "people")

    done = project.run("script.py")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "System check identified no issues" in done.stdout
    assert "No listeners yet" in done.stdout
    assert "No changes detected" in done.stdout
    assert done.stdout.endswith("pages are there\n")

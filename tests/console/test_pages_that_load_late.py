"""The pages of the console load with the URLs. `check` and the web server load them at their start,
so that a mistake in the page of a user's app shows before the first request."""

import pytest

from tests.cdcproject.own_project import OwnProject
from tests.nursery import ROOT

pytestmark = pytest.mark.slow

CRM = {
    "crm/__init__.py": "",
    "crm/models.py": """
        from django.db import models


        class Account(models.Model):
            name = models.CharField(max_length=200)
    """,
    "crm/admin.py": """
        from django.contrib import admin

        from crm.models import Account


        @admin.register(Account)
        class AccountAdmin(admin.ModelAdmin):
            list_display = ["nowhere"]
    """,
}


@pytest.fixture
def project(tmp_path):
    project = OwnProject(
        tmp_path, {"DJANGO_SETTINGS_MODULE": "cdcproject.settings", "CDC_APPS": "crm"}
    )
    project.write(CRM)
    return project


def test_check_reports_a_mistake_in_an_admin_class(project):
    done = project.run(str(ROOT / "manage.py"), "check")

    assert done.returncode == 1
    assert "(admin.E108)" in done.stderr


def test_the_web_server_imports_the_pages_at_its_start(project):
    project.write({"crm/admin.py": "raise SystemExit('the page of accounts')"})

    done = project.run("-c", "import cdcproject.wsgi")

    assert "the page of accounts" in done.stderr

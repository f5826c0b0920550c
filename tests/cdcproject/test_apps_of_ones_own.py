"""CDC_APPS installs the user's apps without a settings module; an app that hides one of the
product's packages is refused."""

import pytest

from tests.cdcproject.own_project import OwnProject
from tests.nursery import ROOT

CRM = {
    "crm/__init__.py": "",
    "crm/models.py": """
        from django.db import models


        class Account(models.Model):
            salesforce_id = models.CharField(max_length=18, primary_key=True)
            name = models.CharField(max_length=200)
    """,
    "crm/cdc_handlers.py": """
        from crm.models import Account

        from handlers import cdc_handler


        @cdc_handler
        def sync_account(event):
            Account.objects.update_or_create(salesforce_id=event.metadata.record_id)
    """,
}
ASK = """
    import django
    django.setup()
    from django.apps import apps
    from handlers.sdk import registry

    print([label for label in ("crm", "billing") if apps.is_installed(label)])
    print([name for name in registry.names() if name.startswith("crm.")])
"""


@pytest.fixture
def project(tmp_path):
    return OwnProject(tmp_path, {"DJANGO_SETTINGS_MODULE": "cdcproject.settings"})


def test_they_are_installed_and_their_handlers_found(project):
    project.write({**CRM, "billing/__init__.py": "", "ask.py": ASK})
    project.environment["CDC_APPS"] = "crm, billing"

    done = project.run("ask.py")

    assert done.stdout.splitlines() == ["['crm', 'billing']", "['crm.cdc_handlers.sync_account']"]
    assert "Create model Account" in project.manage("makemigrations", "crm")


def test_an_app_may_be_named_by_its_configuration(project):
    config = """
        from django.apps import AppConfig


        class CrmConfig(AppConfig):
            name = "crm"
    """
    project.write({**CRM, "crm/apps.py": config, "ask.py": ASK})

    project.environment["CDC_APPS"] = "crm.apps.CrmConfig"
    assert project.run("ask.py").stdout.startswith("['crm']\n")

    project.environment["CDC_APPS"] = "crm.apps.CrmConfg"
    wrong = project.run("ask.py")
    assert wrong.stderr.startswith("configuration error: CDC_APPS: there is no app 'crm.apps.Crm")
    assert len(wrong.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "name", ["listeners", "audit", "handlers", "mirror", "consumer", "api", "console", "simulator"]
)
@pytest.mark.parametrize("file", ["{}/__init__.py", "{}.py"])
def test_a_package_that_hides_one_of_ours_is_named(project, name, file):
    project.write({file.format(name): ""})

    done = project.run("-m", "django", "check")

    hiding = project.folder / file.format(name).removesuffix("/__init__.py")
    assert done.returncode == 1
    assert done.stderr == (
        f"configuration error: {hiding} shadows the package {name} of salesforce-cdc in "
        f"{ROOT / name}, which has the same name. Rename yours, or move it into a package of your "
        "own.\n"
    )


def test_a_folder_without_code_hides_nothing(project):
    project.write({"api/notes.txt": "", "handlers/notes.txt": ""})

    assert project.run("-m", "django", "check").returncode == 0

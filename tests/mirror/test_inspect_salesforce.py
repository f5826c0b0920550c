"""`manage.py inspect_salesforce` writes models of the org's objects, all of them or nothing."""

import pytest
from django.core.management import CommandError

from mirror.schema.output import WouldLose, write
from tests.commands.running import run
from tests.sample_data import connection_to
from tests.simulator.process import SimulatorProcess

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def org():
    with SimulatorProcess() as simulator:
        yield simulator


@pytest.fixture(autouse=True)
def connection(org):
    return connection_to(org.url, org.credentials, name="prod")


def inspect(*arguments):
    return run("inspect_salesforce", *arguments, "--connection", "prod").out


def failure(*arguments, connection="prod"):
    with pytest.raises(CommandError) as failed:
        run("inspect_salesforce", *arguments, "--connection", connection)
    assert failed.value.returncode == 2
    return str(failed.value)


def test_models_are_printed():
    text = inspect("Account", "Employee__c")
    assert "class Account(models.Model):" in text
    assert "class Employee(models.Model):" in text
    assert 'salesforce_object = "Employee__c"' in text
    assert "billing_city = models.TextField" in text
    assert "billing_address" not in text
    assert "account_id" not in text


def test_a_file_is_written_when_all_is_known(tmp_path):
    path = tmp_path / "models.py"
    path.write_text("from django.db import models\n\n# Create your models here.\n")
    assert "no object 'Acount'" in failure("Contact", "Acount", "--output", str(path))
    assert "class" not in path.read_text()

    assert inspect("Contact", "--output", str(path)) == ""

    assert path.read_text() == inspect("Contact")
    assert [*tmp_path.iterdir()] == [path]


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    path = tmp_path / "no folder" / "models.py"
    assert f"{path} cannot be written" in failure("Contact", "--output", str(path))


def test_code_in_the_file_is_not_lost(tmp_path):
    path = tmp_path / "models.py"
    path.write_text("class Invoice:\n    pass\n")
    assert "has Invoice, which would be lost" in failure("Contact", "--output", str(path))
    assert "Invoice" in path.read_text()
    path.write_text("class Invoice(")
    with pytest.raises(WouldLose, match="is not Python"):
        write(path, "x = 1\n")


def test_names_are_suggested():
    assert "Did you mean Account" in failure("Acount")
    assert "Did you mean Employee__c" in failure("Employee")
    assert "Did you mean Phone?" in failure("Account", "--fields", "Phne")
    assert "There is no connection 'prd'. Known: prod." in failure("Account", connection="prd")


def test_fields_are_chosen():
    text = inspect("Account", "--fields", "Name, Phone")
    assert "phone" in text
    assert "industry" not in text
    assert "phone" not in inspect("Account", "--exclude", "phone")
    both = inspect("Account", "Contact", "--fields", "Account.Phone,Contact.Email")
    assert both.count("help_text") == 4
    assert "Write Phone with its object" in failure("Account", "Contact", "--fields", "Phone")
    assert "Lead is not one of the objects" in failure("Account", "--fields", "Lead.Email")


def test_fields_that_the_user_may_not_see_are_named(org):
    org.entity("Opportunity", hidden=["NextStep"])
    try:
        assert "# Hidden from the connection's user, who may not read it: NextStep." in inspect(
            "Opportunity"
        )
        assert "or the connection's user may not see it" in failure(
            "Opportunity", "--fields", "NextStep"
        )
        org.access(view_setup=False)
        assert "Hidden" not in inspect("Opportunity")
    finally:
        org.access(view_setup=True)
        org.entity("Opportunity", hidden=[])


def test_an_org_that_does_not_answer_is_an_error(org):
    wrong = connection_to("http://localhost:1", org.credentials, name="down")
    assert "check_cdc_connection down" in failure("Account", connection=wrong.name)


def differences(*arguments):
    with pytest.raises(SystemExit) as ended:
        run("inspect_salesforce", *arguments, "--connection", "prod", "--diff")
    return ended.value.code


def test_changes_of_a_model_end_with_status_1():
    assert differences("Opportunity") == 1


def test_a_model_that_is_right_has_no_changes():
    names = "Name,AccountId,StageName,Amount,Probability,CloseDate,NextStep,CreatedDate"
    assert inspect("Opportunity", "--diff", "--fields", names) == ""


def test_an_object_without_a_model_has_no_changes_to_print():
    assert "No installed app has a model of Case" in failure("Case", "--diff")

"""`--diff` prints what a model's code needs: a patch that adds, removes and changes columns."""

import importlib
import shutil
import subprocess

import pytest

from mirror.schema.choose import choose
from mirror.schema.described import DescribedObject
from mirror.schema.model_code import module_code
from mirror.schema.model_diff import diff
from tests.mirror.crm.models import Employee, Opportunity
from tests.mirror.every_type import EVERY_TYPE, a_field, a_text, an_object
from tests.nursery import ROOT

FIELDS = [
    a_field("Id", "id"),
    a_text("Name"),
    a_field("AccountId", "reference", referenceTo=["Account"]),
    a_text("StageName"),
    a_field("Amount", "currency", precision=18, scale=2),
    a_field("Probability", "percent", precision=5, scale=2),
    a_field("CloseDate", "date"),
    a_text("NextStep"),
    a_field("CreatedDate", "datetime"),
]


def changes(*, without=(), fields=(), model=Opportunity, name="Opportunity"):
    kept = [each for each in FIELDS if each["name"] not in {*without, *(f["name"] for f in fields)}]
    described = DescribedObject.read(an_object(name, [*kept, *fields]))
    text = diff(choose(described), model)
    return text, [line for line in text.splitlines() if line[:1] in "+-" and line[:3] not in _HEAD]


_HEAD = ("+++", "---")


def test_no_change_is_no_text():
    assert changes() == ("", [])


def test_a_new_field_is_added():
    _, lines = changes(fields=[a_field("Score__c", "int", "Score")])
    assert lines == ['+    score = models.BigIntegerField(null=True, help_text="Score")']


def test_a_field_that_is_gone_is_removed():
    _, lines = changes(without=["NextStep"])
    assert lines == ['-    next_step = models.TextField("Next Step", null=True)']


def test_a_field_of_another_type_is_changed():
    _, lines = changes(fields=[a_text("CloseDate", label="Close Date")])
    assert lines == [
        '-    close_date = models.DateField("Close Date", null=True)',
        '+    close_date = models.TextField(null=True, help_text="Close Date")',
    ]


def test_a_name_against_the_rule_is_declared():
    described = DescribedObject.read(
        an_object("Employee__c", [a_field("Id", "id"), a_text("Tenure__c"), a_text("Clean__c")])
    )
    text = diff(choose(described), Employee)
    assert '"years_here": "Tenure__c",' in text
    assert '"clean_field": "Clean__c",' in text
    assert "clean_field = models.TextField" in text


@pytest.mark.skipif(shutil.which("patch") is None, reason="needs the program patch")
def test_it_is_a_patch(tmp_path):
    text, _ = changes(without=["NextStep"], fields=[a_text("CloseDate"), a_text("Score__c")])
    path = text.splitlines()[0].removeprefix("--- a/")
    copy = tmp_path / path
    copy.parent.mkdir(parents=True)
    shutil.copy(ROOT / path, copy)
    subprocess.run(["patch", "-p1"], input=text, text=True, cwd=tmp_path, check=True)
    assert "score = models.TextField" in copy.read_text()
    compile(copy.read_text(), path, "exec")


def test_a_generated_model_has_no_changes(tmp_path, monkeypatch):
    choice = choose(DescribedObject.read(EVERY_TYPE))
    meta = (
        "    class Meta:\n        apps = Apps()\n        app_label = 'written'\n\n    def __str__"
    )
    text = module_code([choice]).replace("    def __str__", meta)
    path = tmp_path / "written_models.py"
    path.write_text(f"from django.apps.registry import Apps\n{text}", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    model = importlib.import_module("written_models").EveryType

    assert diff(choice, model) == ""

    described = {**EVERY_TYPE, "fields": [f for f in EVERY_TYPE["fields"] if f["name"] != "WhoId"]}
    changed = diff(choose(DescribedObject.read(described)), model)
    removed = [line for line in changed.splitlines() if line.startswith("-    ")]
    assert any("who_id = " in line for line in removed)
    assert any("who_type = " in line for line in removed)

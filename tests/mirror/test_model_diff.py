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


def written_model(monkeypatch, tmp_path, text, name, module):
    """Import the code of a model of an app that is not installed."""
    meta = (
        "    class Meta:\n        apps = Apps()\n        app_label = 'written'\n\n    def __str__"
    )
    path = tmp_path / f"{module}.py"
    text = text.replace("    def __str__", meta)
    path.write_text(f"from django.apps.registry import Apps\n{text}", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return getattr(importlib.import_module(module), name)


def thing(*fields):
    return choose(DescribedObject.read(an_object("Thing__c", [a_field("Id", "id"), *fields])))


def patched(text, path, tmp_path):
    """Apply a diff, and return the code."""
    subprocess.run(["patch", str(path)], input=text, text=True, cwd=tmp_path, check=True)
    return path.read_text("utf-8")


needs_patch = pytest.mark.skipif(shutil.which("patch") is None, reason="needs the program patch")


@pytest.mark.process
@needs_patch
def test_a_declared_field_that_is_gone_loses_its_declaration_and_its_comment(tmp_path, monkeypatch):
    kept, gone = a_text("Title__c"), a_field("Pk__c", "multipicklist", length=255)
    text = module_code([thing(gone, kept)])
    model = written_model(monkeypatch, tmp_path, text, "Thing", "thing_gone")

    changed = patched(diff(thing(kept), model), tmp_path / "thing_gone.py", tmp_path)

    assert "pk_field" not in changed
    assert "salesforce_fields" not in changed
    assert "separated by semicolons" not in changed
    assert "title = models.TextField" in changed


@pytest.mark.process
@needs_patch
def test_a_new_field_takes_no_column_that_is_declared_for_another(tmp_path, monkeypatch):
    other, area = a_text("OtherArea__c"), a_text("Area__c")
    text = module_code([thing(other)]).replace("other_area =", "area =")
    declared = '"Thing__c"\n    salesforce_fields = {"area": "OtherArea__c"}'
    text = text.replace('"Thing__c"', declared)
    model = written_model(monkeypatch, tmp_path, text, "Thing", "thing_area")

    changed = patched(diff(thing(other, area), model), tmp_path / "thing_area.py", tmp_path)

    assert changed.count("    area = ") == 1
    assert '"area": "OtherArea__c",' in changed
    assert '"area_2": "Area__c",' in changed
    assert changed.index("area_2 = ") < changed.index("is_deleted = ")
    again = written_model(monkeypatch, tmp_path, changed, "Thing", "thing_area_again")
    assert diff(thing(other, area), again) == ""


def test_a_field_that_keeps_its_column_is_declared(tmp_path, monkeypatch):
    custom, standard = a_text("Region__c"), a_text("Region")
    text = module_code([thing(custom)])
    model = written_model(monkeypatch, tmp_path, text, "Thing", "thing_region")

    changed = diff(thing(custom, standard), model, without=["Region"])

    assert '+        "region": "Region__c",' in changed
    assert '+        "region_2": "Region",' in changed
    assert "+    region_2 = " in changed


@pytest.mark.process
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

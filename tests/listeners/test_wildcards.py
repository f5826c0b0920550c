"""Users' patterns are matched in linear time, and excessive ones are refused."""

from types import SimpleNamespace

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError
from rest_framework.test import APIClient

from handlers.rules.ignored_authors import left_out, origin_flaws
from listeners.field_masking import MOST_PATTERNS, fields_of, flaws, is_meant, masked, redacted
from simulator.rest.soql_where import _like
from tests.api.requests import LISTENERS, sent
from tests.commands.running import ConfigurationFile

FREEZES_REGULAR_EXPRESSIONS = "*" * 32 + "q"
LONG_NAME = "Field_Of_A_Package_With_A_Long_Name__c" * 5
#: A regular expression of such a pattern would run for years.
pytestmark = pytest.mark.timeout(300)


def meant(pattern: str, name: str) -> bool:
    return is_meant((name,), fields_of((pattern,), "Account"))


def test_a_pattern_of_many_wildcards_is_matched_in_linear_time():
    assert not meant(FREEZES_REGULAR_EXPRESSIONS, LONG_NAME)
    assert meant(FREEZES_REGULAR_EXPRESSIONS, f"{LONG_NAME}Q")
    assert not meant("a*" * 100 + "b", "a" * 10_000)
    assert meant("a*" * 100 + "b", "a" * 10_000 + "b")
    assert not fields_of((f"{FREEZES_REGULAR_EXPRESSIONS}.Name",), LONG_NAME)


def test_a_value_that_repeats_itself_is_masked_in_linear_time():
    value = "a" * 131_072

    found = redacted(f"{'a' * 9_000} is odd", {"Text": value}, fields_of(("*",), "Account"), "***")

    assert found == "*** is odd"


def test_a_text_is_searched_only_for_the_values_that_stand_in_it():
    data = {"Tags": [f"tag {number}" for number in range(100_000)]}
    text = "no tag 77777 here, " + "x" * 9_000

    assert redacted(text, data, fields_of(("Tags",), "Account"), "***").startswith("no *** here")


@pytest.mark.parametrize(
    ("pattern", "name", "is_one"),
    [
        ("Name", "Name", True),
        ("name", "NAME", True),
        ("Name", "Names", False),
        ("*", "anything\nat all", True),
        ("**", "x", True),
        ("Bill*", "BillingCity", True),
        ("*City", "BillingCity", True),
        ("*ing*", "BillingCity", True),
        ("B*ing*ty", "BillingCity", True),
        ("ab*ba", "aba", False),
        ("a*a", "a", False),
        ("*a*a", "aa", True),
        ("*x*", "BillingCity", False),
    ],
)
def test_a_star_stands_for_any_text(pattern, name, is_one):
    assert meant(pattern, name) is is_one


def test_an_origin_of_many_wildcards_is_matched_in_linear_time():
    change = SimpleNamespace(change_origin="com/" + "a" * 10_000, commit_user="")

    assert left_out(change, [f"com/{FREEZES_REGULAR_EXPRESSIONS}"], []) == ""


def test_a_query_of_the_simulator_is_matched_in_linear_time():
    assert not _like("a" * 10_000, "%a" * 20 + "q")
    assert _like("Acme Ltd", "a_me%l%")
    assert not _like("Acme Ltd", "a_me")


@pytest.mark.parametrize(
    ("patterns", "said"),
    [
        ([FREEZES_REGULAR_EXPRESSIONS], "has 32 wildcards; the maximum is 10"),
        (["x" * 256], "has 256 characters; the maximum is 255"),
        (["Name"] * 501, "has 501 patterns; the maximum is 500"),
    ],
)
def test_a_silly_pattern_is_refused(patterns, said):
    [flaw] = flaws(patterns)

    assert said in flaw
    assert len(flaw) < 200


def test_patterns_as_they_are_used_are_taken():
    assert flaws(["*.Name.LastName", "SSN__c", "*ssn*", "Contact.*Phone*", "*_*_*"]) == []
    assert origin_flaws(["*/rest/*;client=*", "my-app"]) == []


@pytest.mark.parametrize(
    ("origin", "said"),
    [
        (f"com/{FREEZES_REGULAR_EXPRESSIONS}", "has 32 wildcards; the maximum is 10"),
        (f"com/{'x' * 256}", "has 260 characters; the maximum is 255"),
    ],
)
def test_a_silly_origin_is_refused(origin, said):
    [flaw] = origin_flaws([origin])

    assert said in flaw


def test_a_silly_pattern_is_refused_by_the_console_the_file_and_the_api(
    listener, admin_user, tmp_path
):
    listener.sensitive_fields = [FREEZES_REGULAR_EXPRESSIONS]
    with pytest.raises(ValidationError, match="32 wildcards"):
        listener.full_clean()

    api = APIClient()
    api.force_authenticate(admin_user)
    answer = sent(
        api,
        "patch",
        f"{LISTENERS}{listener.pk}/",
        {"sensitive_fields": [FREEZES_REGULAR_EXPRESSIONS]},
    )
    assert answer.status_code == 400
    assert "32 wildcards" in answer.content.decode()

    file = ConfigurationFile(tmp_path / "cdc.yaml")
    with pytest.raises(CommandError, match="32 wildcards"):
        file.apply(
            f"""
            listeners:
              - name: {listener.name}
                connection: {listener.connection.name}
                channel: {listener.channel}
                sensitive_fields: ["{FREEZES_REGULAR_EXPRESSIONS}"]
            """
        )


def test_a_masked_field_stays_masked_under_a_pattern_that_was_stored_before():
    hidden = fields_of((f"{'*' * 32}__c",), "Contact")

    assert masked({"SSN__c": "1", "Name": "2"}, hidden, "***") == {"SSN__c": "***", "Name": "2"}


def test_a_list_may_have_as_many_patterns_as_the_error_says():
    most = [f"Field{number}" for number in range(MOST_PATTERNS)]

    assert flaws(most) == []
    assert flaws([*most, "Phone"]) == ["The list has 501 patterns; the maximum is 500."]

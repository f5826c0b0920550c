"""Rows of a CSV file, converted column by column, become what each becomes alone."""

from decimal import Decimal

import pytest
from django.db import connection, models

from mirror.schema.columns import columns_of
from mirror.schema.convert import Refused, converter
from mirror.schema.csv_columns import RowsConverter
from mirror.schema.plain_texts import plainness
from mirror.schema.values import to_columns
from tests.mirror.test_columns import a_model

pytestmark = pytest.mark.anywhere

TEXT, NUMBER = models.TextField, models.DecimalField
KINDS = {
    "text": TEXT(null=True),
    "short text": models.CharField(max_length=5, null=True),
    "id": models.CharField(max_length=18, null=True),
    "decimal": NUMBER(max_digits=6, decimal_places=2, null=True),
    "whole decimal": NUMBER(max_digits=4, decimal_places=0, null=True),
    "small": models.SmallIntegerField(null=True),
    "positive": models.PositiveIntegerField(null=True),
    "whole": models.BigIntegerField(null=True),
    "double": models.FloatField(null=True),
    "flag": models.BooleanField(null=True),
    "day": models.DateField(null=True),
    "moment": models.DateTimeField(null=True),
    "time": models.TimeField(null=True),
    "json": models.JSONField(null=True),
}
#: Plain ones, ones that are converted, and ones that no column takes.
TEXTS = (
    *("", "1", "-1", "0", "007", "-0", "12.5", "12.50", "12.500", "12.345", "9999.99", "10000"),
    *("1e3", "1E400", "NaN", "Infinity", "-Infinity", ".5", "5.", "+5", " 5", "5 ", "1_000", "٣"),
    *("32767", "32768", "2147483647", "2147483648", "9223372036854775807", "9223372036854775808"),
    *("true", "false", "TRUE", "t", "yes", "on"),
    *("2024-02-28", "2024-02-29", "2023-02-29", "2024-04-31", "2024-13-01", "0000-01-01"),
    *("2024-06-30T12:00:00.000Z", "2024-06-30T12:00:00.000+0000", "2024-06-30T12:00:00Z"),
    *("2024-06-30T14:00:00+02:00", "2024-06-30T24:00:00Z", "2024-06-30T12:00:00.1234567Z"),
    *("20240630", "2024-W01-1", "now", "infinity", "today", "14:30:00.000Z"),
    *("001D000000IRFma", "001D000000IRFmaIAH", "longer than five", "\\N", "a\\b", "ä", "\ud83d"),
    *("x\0y", '{"a": 1.5}', "[1]", "line\nbreak", "tab\there", '"quoted"'),
)


def api_of(kind):
    return "ValueId" if kind == "id" else "Value__c"


def columns_with(kind):
    column = "value_id" if kind == "id" else "value"
    model = a_model(**{column: KINDS[kind].clone()})
    return columns_of(model).against([api_of(kind), "Other__c"])


@pytest.mark.parametrize("kind", KINDS)
def test_rows_become_what_each_becomes_alone(kind):
    columns, header = columns_with(kind), [api_of(kind), "Other__c"]
    rows = [[text, text] for text in TEXTS]

    found = RowsConverter(columns, header).convert(rows)

    alone = [to_columns(columns, dict(zip(header, row, strict=True))) for row in rows]
    [name] = found.values
    assert [*found.values[name]] == [one.values[name] for one in alone]
    assert [found.raw.get(number, {}) for number in range(len(rows))] == [a.raw for a in alone]
    assert found.refused == sum(len(one.refused) for one in alone)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.django_db
def test_postgresql_reads_a_plain_text_as_the_value_that_it_is_converted_to(kind):
    field = columns_with(kind).fields[api_of(kind)]
    are_plain = plainness(field, is_id=kind == "id")
    if connection.vendor != "postgresql" or are_plain is None:
        return  # the texts of every other database and column are converted
    convert, plain = converter(field, is_id=kind == "id"), 0
    for text in filter(None, TEXTS):
        if not are_plain([text]):
            continue
        plain += 1
        value = field.get_db_prep_save(convert(text), connection)
        with connection.cursor() as cursor:
            kept = field.db_type(connection)
            cursor.execute(
                f"SELECT CAST(%s::text AS {kept}), CAST(%s AS {kept}), current_setting('timezone')",
                [text, value],
            )
            read, expected, timezone = cursor.fetchone()
        assert read == expected, text
        assert timezone == "UTC"
    assert plain


def test_texts_are_kept_only_where_all_of_a_column_are_plain():
    columns, header = columns_with("decimal"), ["Value__c"]
    keeping = RowsConverter(columns, header, keeps_texts=True)

    assert [*keeping.convert([["1.5"], [""], ["-2"]]).values["value"]] == ["1.5", None, "-2"]
    found = keeping.convert([["1.5"], ["1e1"], ["much"]])

    assert [*found.values["value"]] == [Decimal("1.5"), Decimal("1e1"), None]
    assert (found.refused, dict(found.raw)) == (1, {2: {"Value__c": "much"}})


def test_an_empty_text_is_the_default_of_a_column_that_must_have_a_value():
    columns = columns_of(a_model(value=TEXT(default="none"))).against(["Value__c"])

    found = RowsConverter(columns, ["Value__c"], keeps_texts=True).convert([["a"], [""]])

    assert [*found.values["value"]] == ["a", "none"]


def test_the_object_of_a_polymorphic_reference_is_named_in_each_row():
    model = a_model(who_id=models.CharField(max_length=18, null=True), who_type=TEXT(null=True))
    columns = columns_of(model).against(["WhoId"])
    ids = ["003D000000QV9n2IAD", "", "001D000000IRFmaIAH"]

    named = RowsConverter(columns, ["WhoId", "Who.Type"]).convert(
        [[ids[0], "Lead"], [ids[1], ""], [ids[2], ""]]
    )
    unnamed = RowsConverter(columns, ["WhoId"]).convert([[one] for one in ids])

    assert [*named.values["who_type"]] == ["Lead", None, "Account"]
    assert [*unnamed.values["who_type"]] == ["Contact", None, "Account"]


def test_what_is_plain_is_never_refused():
    for kind in KINDS:
        field = columns_with(kind).fields[api_of(kind)]
        are_plain, convert = plainness(field, is_id=kind == "id"), converter(field)
        for text in filter(None, TEXTS):
            if are_plain is None or not are_plain([text]):
                continue
            try:
                convert(text)
            except Refused as refusal:
                pytest.fail(f"{kind} {text!r}: {refusal}")

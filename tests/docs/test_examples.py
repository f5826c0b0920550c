"""Blocks of a page are run, and errors are reported with their line."""

import pytest

from tests.docs.examples import Failed, run

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(tmp_path):
    def write(*lines: str):
        file = tmp_path / "page.md"
        file.write_text("\n".join(lines))
        return file

    return write


def block(language: str, *lines: str) -> list[str]:
    return [f"```{language}", *lines, "```"]


def test_python_blocks_share_what_they_define(page):
    made = run(page(*block("python", "a = 1"), "and", *block("python", "b = a + 1")))

    assert made["b"] == 2


@pytest.mark.process
@pytest.mark.parametrize(
    ("language", "lines", "why"),
    [
        ("python", ["1 / 0"], "ZeroDivisionError"),
        ("json", ['{"a": }'], "JSONDecodeError"),
        ("yaml", ["a: [1"], "ParserError"),
        ("yaml", ["handlers:", "  - {on: create, entities: Account}"], "no key 'entities'"),
        ("yaml", ["listeners:", "  - {connection: prod, channel: nothing}"], "channel"),
        ("yaml", ["connections:", "  - {name: prod, auth: nothing}"], "auth"),
        (
            "yaml",
            ["mirrors:", "  - {model: crm.Nothing, listener: prod}"],
            "no model 'crm.Nothing'",
        ),
        ("sh", ["manage.py cdc_status --format xml"], "invalid choice: 'xml'"),
        ("sh", ["python manage.py cdc_statuses"], "no command 'cdc_statuses'"),
        ("sh", ["A=1 make demo && make coffee"], "no target 'coffee'"),
        ("sh", ["celery -A cdcproject worker --colour"], "No such option"),
        ("sh", ["celery -A cdcproject work"], "No such command 'work'"),
        ("sh", ["curl localhost"], "curl: not checked here"),
        ("sh", ["gunicorn cdcproject.website"], "no module cdcproject.website"),
        ("sh", ["pip install -r requirements.md"], "no requirements.md"),
        ("sh", ["docker compose --profile work up"], "invalid choice: 'work'"),
        ("sh", ["docker compose exec web python manage.py migrations"], "no command 'migrations'"),
        ("sh", ["openssl req -newkeys rsa:2048"], "newkeys"),
        ("sh", ["python -m benchmarks everything"], "invalid choice: 'everything'"),
        ("dockerfile", ["FORM scratch"], "unexpected 'F'"),
        ("cobol", ["STOP RUN."], "'cobol' is not run here"),
        ("", ["text"], "the fence names no language"),
    ],
)
def test_a_wrong_block_is_reported_with_its_line(page, language, lines, why):
    with pytest.raises(Failed) as failed:
        run(page("A page", "", *block(language, *lines)))

    assert str(failed.value).startswith("page.md:3: ")
    assert why in str(failed.value)


@pytest.mark.parametrize(
    ("language", "lines"),
    [
        ("json", ['{"a": 1}']),
        ("yaml", ["a: [1]"]),
        ("yaml", ["handlers:", "  - {on: create, entity: Account, handler: my.handler}"]),
        ("yaml", ["mirrors:", "  - {model: crm.Account, listener: prod}"]),
        (
            "yaml",
            [
                *("connections:", "  - name: prod", "    auth: client_credentials"),
                "    base_url: https://example.my.salesforce.com",
                *("    client_id: ${ID}", "    client_secret: env:SECRET"),
                *("listeners:", "  - {connection: prod, handlers: []}"),
            ],
        ),
        (
            "sh",
            [".venv/bin/python manage.py export_audit_log \\", "  --entity Account > log.jsonl"],
        ),
        ("sh", ["export A=1 B=2   # a comment", "make demo", "manage.py cdc_status --format json"]),
        ("sh", ["celery -A cdcproject worker -Q crm,celery -c 4"]),
        ("sh", ["python3 -m venv .venv && .venv/bin/pip install -r requirements.txt"]),
        ("sh", [".venv/bin/gunicorn cdcproject.wsgi --workers 4", "echo A=1 >>file"]),
        ("sh", ["docker compose exec web python manage.py createsuperuser"]),
        ("text", ["what it prints"]),
    ],
)
def test_one_that_is_right_passes(page, language, lines):
    run(page(*block(language, *lines)))


def test_every_failed_block_is_reported(page):
    with pytest.raises(Failed) as failed:
        run(page(*block("python", "1 / 0"), *block("json", "{")))

    assert [line.split(":")[1] for line in str(failed.value).splitlines()] == ["1", "4"]


def test_a_traceback_has_the_line_of_the_page(page):
    with pytest.raises(Failed) as failed:
        run(page("", *block("python", "a = 1", "1 / 0")))

    assert failed.value.__cause__.__traceback__.tb_next
    traceback = failed.value.__cause__.__traceback__
    while traceback.tb_next:
        traceback = traceback.tb_next
    assert (traceback.tb_frame.f_code.co_filename[-7:], traceback.tb_lineno) == ("page.md", 4)


def test_a_block_may_say_why_it_is_not_run(page):
    run(page('<!-- skip: next "it needs an org" -->', "", *block("python", "1 / 0")))


def test_a_block_that_is_not_run_must_have_a_reason(page):
    with pytest.raises(Failed, match="say why the next block isn't run"):
        run(page("<!-- skip: next -->", "", *block("python", "1")))


def test_blocks_within_a_list_are_run_too(page):
    with pytest.raises(Failed, match=r"page\.md:2: ZeroDivisionError"):
        run(page("1. First", "   ```python", "   if True:", "       1 / 0", "   ```"))

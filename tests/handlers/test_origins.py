"""A mapping can ignore changes by their origin or user."""

from types import SimpleNamespace

import pytest

from handlers.rules.ignored_authors import client_of, left_out, origin_flaws, user_flaws

REST = "com/salesforce/api/rest/67.0;client=my-app"
USER = "0055g00000AbCdEAAV"


def written(origin="", user=""):
    return SimpleNamespace(change_origin=origin, commit_user=user)


@pytest.mark.parametrize(
    ("origin", "client"),
    [
        (REST, "my-app"),
        ("com/salesforce/api/soap/46.0;client=SfdcInternalAPI/", "SfdcInternalAPI/"),
        ("com/salesforce/api/rest/67.0;client=a=b", "a=b"),
        ("com/salesforce/api/rest/67.0", ""),
        ("", ""),
    ],
)
def test_the_client_is_a_part_of_the_origin(origin, client):
    assert client_of(origin) == client


@pytest.mark.parametrize(
    ("entry", "origin", "reason"),
    [
        ("my-app", REST, "written by client my-app, which this mapping leaves out"),
        ("My-App", REST, ""),
        ("my", REST, ""),
        ("rest", REST, ""),
        ("my-app", "com/salesforce/api/rest/67.0;client=my-app-2", ""),
        ("my-app", "com/salesforce/api/rest/67.0", ""),
        ("my-app", "", ""),
        (REST, REST, f"written by origin {REST}, which this mapping leaves out"),
        ("com/salesforce/api/rest/67.0", REST, ""),
        ("*/rest/*", "", ""),
        ("*/soap/*", REST, ""),
        ("com/salesforce/api/rest/*", "xcom/salesforce/api/rest/67.0", ""),
        ("*/rest/*.0", REST, ""),
        (
            "Workbench/",
            "com/salesforce/api/soap/61.0;client=Workbench/",
            "written by client Workbench/, which this mapping leaves out",
        ),
    ],
)
def test_an_origin_is_left_out_by_client_or_as_a_whole(entry, origin, reason):
    assert left_out(written(origin), [entry], []) == reason


@pytest.mark.parametrize(
    "pattern",
    [
        "com/salesforce/api/rest/67.0;client=*",
        "com/*;client=my-app",
        "*/rest/*",
        "*/rest/**",
        "*/*/*",
        "com/salesforce/api/rest/67.0*;client=my-app",
    ],
)
def test_a_star_stands_for_any_text(pattern):
    assert left_out(written(REST), [pattern], []) == (
        f"written by origin {REST}, which this mapping leaves out"
    )


def test_what_a_pattern_says_is_no_regular_expression():
    assert not left_out(written("com/a"), ["com/."], [])
    assert not left_out(written("com/a"), ["com/[a]"], [])
    assert not left_out(written("a/b"), ["a/*/b"], [])
    assert not left_out(written("a/ba"), ["a/ba*a"], [])


@pytest.mark.parametrize(
    ("entry", "user", "left"),
    [
        (USER, USER, True),
        (USER[:15], USER, True),
        (USER, USER[:15], True),
        (USER.lower(), USER, False),
        ("0055g00000AbCdFAAV", USER, False),
        (USER, "", False),
    ],
)
def test_a_user_is_identified_by_the_first_15_characters(entry, user, left):
    reason = f"written by user {user}, which this mapping leaves out" if left else ""

    assert left_out(written(REST, user), [], [entry]) == reason


def test_no_author_is_ignored_by_default():
    assert left_out(written(REST, USER), [], []) == ""


@pytest.mark.parametrize("origins", [[], ["my-app"], ["my-app", "my-app"], ["*/soap/*"], ["A/"]])
def test_origins_are_clients_and_patterns(origins):
    assert origin_flaws(origins) == []


@pytest.mark.parametrize("origins", [None, "my-app", {}, [""], [" "], [5], [None], ["a\0"]])
def test_origins_are_a_list_of_texts(origins):
    assert origin_flaws(origins) == [
        'Give a list of client ids or change origins, such as ["my-app"].'
    ]


def test_a_client_with_a_star_would_match_nothing_and_is_refused():
    assert origin_flaws(["my-app", "my-*"]) == [
        '"my-*": a client id is compared literally; to use a wildcard, write the whole origin, '
        'such as "*/rest/*;client=my-*".'
    ]


@pytest.mark.parametrize("users", [[], [USER], [USER[:15]], [USER, USER]])
def test_users_are_ids(users):
    assert user_flaws(users) == []


@pytest.mark.parametrize("users", [None, USER, {}, [""], [5]])
def test_users_are_a_list_of_texts(users):
    assert user_flaws(users) == [
        'Give a list of Salesforce user ids, such as ["005000000000001AAA"].'
    ]


@pytest.mark.parametrize("user", [USER[:14], USER[:16], USER + "A", "me@example.com", USER + "\n"])
def test_what_is_no_id_is_refused(user):
    assert user_flaws([user]) == [
        f'"{user}" is no Salesforce id: it has 15 or 18 letters and digits.'
    ]

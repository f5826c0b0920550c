"""The search of these tests finds planted secrets in every encoding."""

import base64
import html
import json
import logging
import pprint
import zlib
from urllib.parse import quote, quote_plus, urlencode
from xml.sax.saxutils import escape, quoteattr

import pytest
import structlog
from django.contrib.auth.models import Group
from django.db import connection
from django.utils.html import conditional_escape, escapejs
from requests.auth import _basic_auth_str

from tests.secrecy import places
from tests.secrecy.planted import Planted
from tests.secrecy.scene import Scene

FORMS = {
    "as it is": str,
    "repr": repr,
    "repr of bytes": lambda text: repr(text.encode()),
    "repr of a repr": lambda text: repr(repr({"password": text})),
    "ASCII": ascii,
    "pretty": lambda text: pprint.pformat({"password": [text] * 5}),
    "JSON": json.dumps,
    "JSON in UTF-8": lambda text: json.dumps(text, ensure_ascii=False),
    "JSON in JSON": lambda text: json.dumps(json.dumps({"password": text})),
    "URL": lambda text: quote(text, safe=""),
    "form": lambda text: urlencode({"password": text}),
    "URL twice": lambda text: quote_plus(quote_plus(text)),
    "XML": escape,
    "XML attribute": quoteattr,
    "HTML": html.escape,
    "HTML of a repr": lambda text: conditional_escape(repr(text)),
    "JavaScript": escapejs,
    "Basic": lambda text: _basic_auth_str("client", text.encode()),
    "base64": lambda text: base64.b64encode(f"ab{text}".encode()).decode(),
    "URL-safe base64": lambda text: base64.urlsafe_b64encode(f"a{text}".encode()).decode(),
    "base64 of JSON": lambda text: base64.b64encode(json.dumps([text]).encode()).decode(),
    "hexadecimal": lambda text: text.encode().hex(" ", 4).replace(" ", ""),
    "cut off at its end": lambda text: text[:24],
    "cut off at its beginning": lambda text: text[-20:],
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["plain", "special"])
def test_a_secret_is_found_in_every_form(form, kind):
    planted = Planted()
    secret = getattr(planted, kind)("client_secret")

    [leak, *_] = planted.leaks({"there": f"before {FORMS[form](secret)} after"})

    assert leak.startswith("client_secret in there: ")


def test_each_line_of_a_key_is_found_alone():
    planted = Planted()
    body = [base64.b64encode(bytes([line]) * 12 + b"+random+").decode() for line in range(5)]
    planted.add_key("private_key", "\n".join(["-----BEGIN KEY-----", *body, "-----END KEY-----"]))

    for line in body:
        assert planted.leaks({"there": f"x{line}x"})


def test_nothing_is_found_where_nothing_is():
    planted = Planted()
    planted.special("password")

    assert planted.leaks({"there": "password &<>\"'+%=é set"}) == []


def test_a_secret_is_found_in_the_database_and_its_file(db):
    planted = Planted()
    Group.objects.create(name=planted.plain("password"))

    [leak] = planted.leaks(places.of_the_database())

    assert leak.startswith("password in auth_group.name")


def test_a_secret_is_found_in_redis_and_on_its_way_there(store, tap):
    planted = Planted()
    with tap:
        store.hset("tokens", "one", planted.plain("token"))
        store.lpush("celery", base64.b64encode(planted.plain("password").encode()))
        store.set("gone", planted.plain("refresh_token"))
        store.delete("gone")

    assert len(planted.leaks(places.of_redis(store))) == 2
    assert len(planted.leaks(tap.heard)) == 3


def test_a_secret_is_found_in_a_file(tmp_path):
    planted = Planted()
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "dump").write_bytes(b"\0\xff" + planted.special("key").encode())

    assert planted.leaks(places.of_files(tmp_path))
    assert not planted.leaks({"packed": places.as_text(zlib.compress(b"nothing"))})


def test_a_secret_is_found_in_the_output_and_the_command_line_of_a_process(processes):
    planted = Planted()
    said, told = planted.special("said"), planted.plain("told")
    program = "import os, time; print(os.environ['CDC_TEST_SAID'], flush=True); time.sleep(60)"
    process = processes.start("-c", program, told, CDC_TEST_SAID=said)
    process.wait_for_output("said")

    leaks = planted.leaks(places.of_process("it", process))

    found = [leak.partition(":")[0] for leak in leaks]
    assert found == ["said in output of it", "told in command lines of it"]


def test_a_secret_is_found_in_what_our_own_log_says_of_it(processes, planted, tmp_path):
    secret = planted.special("client_secret")
    program = (
        "import os, django; django.setup(); import structlog; "
        "log = structlog.get_logger('canary'); "
        "log.debug('login', client_secret=os.environ['CDC_TEST_CANARY'])"
    )
    scene = Scene(processes, planted, tmp_path, CDC_TEST_CANARY=secret)

    assert scene.start("it", "-c", program).wait() == 0

    where = [leak.partition(" in ")[2].partition(":")[0] for leak in scene.leaks()]
    assert where == [str(tmp_path / "var" / "log.json"), "output of it"]


def test_a_secret_is_found_in_the_log_of_this_process(heard):
    planted = Planted()
    logging.getLogger("canary").debug("with %s", planted.special("one"))
    structlog.get_logger("canary").debug("with", secret=planted.special("two"))

    assert {leak.partition(" ")[0] for leak in planted.leaks(heard())} == {"one", "two"}


def test_a_scene_finds_what_its_processes_say_and_what_they_leave(
    processes, store, planted, tmp_path
):
    scene = Scene(processes, planted, tmp_path)
    said, left = planted.special("said"), planted.plain("left")
    Group.objects.create(name=left)
    Group.objects.filter(name=left).delete()
    store.set("key", planted.plain("kept"))

    scene.commands(["cdc_status", "--format", said])
    scene.look(store)

    labels = {leak.partition(" in ")[0] for leak in scene.leaks()}
    on_disk = {"left"} if connection.vendor == "sqlite" else set()
    assert labels == {"said", "kept"} | on_disk

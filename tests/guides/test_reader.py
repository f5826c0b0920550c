"""A guide is followed as written, and what is wrong with it is said with its line."""

import os
import re

import psutil
import pytest

from tests.guides.page import Unclear
from tests.guides.reader import WrongGuide, follow

pytestmark = [pytest.mark.anywhere, pytest.mark.process]


@pytest.fixture
def guide(tmp_path):
    """Follows a guide of these lines; returns the home folder. A block is `~~~` here."""
    home, scripts = tmp_path / "home", tmp_path / "scripts"
    home.mkdir()
    scripts.mkdir()
    page = tmp_path / "guide.md"

    def run(text):
        page.write_text(re.sub(r"^~~~", "```", text, flags=re.MULTILINE))
        follow(page, home, {"PATH": os.environ["PATH"]}, scripts)
        return home

    return run


def test_files_are_written_and_commands_run_where_the_reader_is(guide):
    home = guide("""
~~~sh
mkdir shop && cd shop
export WHO=world
~~~
~~~python
# hello.py
import os
print("Hello,", os.environ["WHO"])
~~~
~~~python
# hello.py (add at the end)
print("Bye")
~~~
~~~sh
python3 hello.py
~~~
~~~text
Hello, …
Bye
~~~
""")
    assert (home / "shop/hello.py").exists()


SERVER = """
~~~python
# server.py
import os, time
print("ready on --port 8765", flush=True)
while not os.path.exists("wanted"):
    time.sleep(0.01)
print("it is wanted", flush=True)
time.sleep(600)
~~~
In a second terminal, start the server and leave it running:
~~~sh
echo $$ > pid
python3 server.py
~~~
~~~text
ready on --port …
~~~
Back in the first terminal:
~~~sh
touch wanted
~~~
The server in the second terminal prints:
~~~text
it is wanted
~~~
"""


def test_another_terminal_goes_on_meanwhile_until_it_is_interrupted(guide):
    home = guide(
        SERVER
        + """Press `Ctrl-C`, then:
~~~sh
echo ended > result
~~~
"""
    )
    assert (home / "result").read_text() == "ended\n"


def test_nothing_runs_after_the_guide(guide):
    home = guide(SERVER)

    shell = int((home / "pid").read_text())
    assert not [one for one in psutil.pids() if psutil.pid_exists(one) and _session(one) == shell]


def _session(pid):
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("~~~sh\nfalse\ntrue\n~~~\n", r"guide\.md:1: this failed"),
        ("\n~~~sh\necho 1\n~~~\n~~~text\n2\n~~~\n", r"guide\.md:5: the guide shows"),
        ("~~~sh\necho 1; echo 2\n~~~\n~~~text\n1\n~~~\n", r"guide\.md:4: the guide shows"),
        ("~~~sh\necho 12\n~~~\n~~~text\n1\n~~~\n", r"guide\.md:4: the guide shows"),
    ],
)
def test_what_differs_is_said(guide, text, why):
    with pytest.raises(WrongGuide, match=why):
        guide(text)


def test_a_block_without_a_name_is_refused(guide):
    with pytest.raises(Unclear, match="line 2: begin this block with its file's name"):
        guide("\n~~~python\nprint(1)\n~~~\n")


def test_lines_may_be_left_out(guide):
    guide("~~~sh\nseq 5\n~~~\n~~~text\n1\n…\n4\n…\n~~~\n")


def test_ports_are_free_ones(guide):
    home = guide("~~~sh\necho --port 8765 http://localhost:8765 > ports\n~~~\n")

    first, second = re.findall(r"\d{4,}", (home / "ports").read_text())
    assert first == second != "8765"


def test_a_command_is_repeated_where_the_guide_says_so(guide):
    counted = "~~~sh\necho >> lines\ngrep -c '' lines\n~~~\nIf it is less, repeat the command:\n"

    guide(f"{counted}~~~text\n3\n~~~\n")

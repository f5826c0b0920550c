"""Checks the commands of shell blocks, each by its program's own parser if there is one."""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import gunicorn.config
from celery.bin.celery import celery
from click import Context
from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand

from tests.deploy.compose import services, stages
from tests.nursery import ROOT

#: The assignment of a variable.
ASSIGNMENT = re.compile(r"[A-Z_][A-Z0-9_]*=.*", re.DOTALL)


class WrongCommand(Exception):
    """A program would refuse the command; the message is the program's own."""


def check(words: Sequence[str]) -> None:
    """Check a command without its redirections. Raises WrongCommand, or its parser's exception."""
    program, arguments = Path(words[0]).name, list(words[1:])
    if program.startswith("python"):
        program, arguments = _run_by_python(arguments)
    if program not in _CHECKS:
        raise WrongCommand(
            f"{program}: not checked here. Add it to tests/docs/programs.py, or say before the "
            "block why it isn't checked."
        )
    _CHECKS[program](arguments)


def _run_by_python(arguments: list[str]) -> tuple[str, list[str]]:
    match arguments:
        case ["-m", module, *rest]:
            return f"-m {module}", rest
        case ["-c", *rest]:
            return "-c", rest
        case [script, *rest]:
            return script, rest
        case _:
            raise WrongCommand("python: nothing to run")


def _manage(arguments: list[str]) -> None:
    name = arguments[0] if arguments else ""
    app = get_commands().get(name)
    if app is None:
        raise WrongCommand(f"manage.py has no command {name!r}")
    command = app if isinstance(app, BaseCommand) else load_command_class(app, name)
    command.create_parser("manage.py", name).parse_args(arguments[1:])


def _make(arguments: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in (one for one in arguments if not ASSIGNMENT.fullmatch(one)):
        if not re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE):
            raise WrongCommand(f"make has no target {target!r}")


def _celery(arguments: list[str]) -> None:
    """Check Celery's own options, then those of the command."""
    context = Context(celery, info_name="celery")
    _, words, _ = celery.make_parser(context).parse_args(arguments)
    name, command, rest = celery.resolve_command(context, words)
    if command is None:
        raise WrongCommand(f"celery has no command {name!r}")
    command.make_parser(Context(command, parent=context)).parse_args(rest)


def _gunicorn(arguments: list[str]) -> None:
    parsed = gunicorn.config.Config().parser().parse_args(arguments)
    for application in parsed.args:
        if importlib.util.find_spec(application.partition(":")[0]) is None:
            raise WrongCommand(f"there is no module {application}")


def _pytest(arguments: list[str]) -> None:
    """Check that the paths exist, here or in the reader's app."""
    for path in (one for one in arguments if not one.startswith("--ds=")):
        if not any((folder / path).exists() for folder in (ROOT, ROOT / "tests/docs/apps")):
            raise WrongCommand(f"there is no {path}")


def _code(arguments: list[str]) -> None:
    [code] = arguments
    compile(code, "<the block>", "exec")


def _pg_dump(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser("pg_dump")
    parser.add_argument("--format", choices=["custom", "directory", "plain", "tar"])
    parser.add_argument("--file")
    parser.add_argument("--username")
    parser.add_argument("database")
    parser.parse_args(arguments)


def _pg_restore(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser("pg_restore")
    parser.add_argument("--username")
    parser.add_argument("--dbname", required=True)
    parser.add_argument("--exit-on-error", action="store_true")
    parser.parse_args(arguments)


def _pg_database(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser("createdb, dropdb")
    parser.add_argument("--username")
    parser.add_argument("--force", action="store_true")
    parser.add_argument("database")
    parser.parse_args(arguments)


def _git(arguments: list[str]) -> None:
    if arguments != ["pull"]:
        raise WrongCommand("of git only `pull` is known here")


def _program(arguments: list[str]) -> None:
    """Check a command of the program that the wheel installs."""
    if arguments != ["demo"]:
        _manage(arguments)


def _pip(arguments: list[str]) -> None:
    match arguments:
        case ["install", "-r", lock] | ["install", "--constraint", lock, _]:
            _pytest([lock])
        case _:
            raise WrongCommand("of pip only `install -r FILE` and a file are known here")


def _venv(arguments: list[str]) -> None:
    if len(arguments) != 1:
        raise WrongCommand("give the folder of the environment, and nothing else")


def _benchmarks(arguments: list[str]) -> None:
    from benchmarks.__main__ import chosen

    chosen(arguments)


def _versions(arguments: list[str]) -> None:
    from benchmarks.versions import chosen

    chosen(arguments)


def _console_benchmarks(arguments: list[str]) -> None:
    from benchmarks.console import chosen

    chosen(arguments)


def _openssl(arguments: list[str]) -> None:
    """Run the command in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            ["openssl", *arguments], cwd=folder, capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise WrongCommand(done.stderr)


def _folders(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser("mkdir")
    parser.add_argument("-p", action="store_true")
    parser.add_argument("folders", nargs="+")
    parser.parse_args(arguments)


def _echo(_: list[str]) -> None:
    """Accept any arguments."""


class _Compose(argparse.ArgumentParser):
    """Parses the commands of `docker compose` that the pages use; no Docker is installed here."""

    def __init__(self) -> None:
        super().__init__("docker compose")
        names = sorted(services())
        self.add_argument("--profile", action="append", choices=sorted(_profiles()))
        commands = self.add_subparsers(required=True, parser_class=argparse.ArgumentParser)
        for name in ("build", "up", "stop", "ps", "logs"):
            command = commands.add_parser(name)
            command.add_argument("services", nargs="*", choices=[*names, []])
            if name == "up":
                command.add_argument("--detach", action="store_true")
                command.add_argument("--build", action="store_true")
                command.add_argument("--scale", action="append")
        execute = commands.add_parser("exec")
        execute.add_argument("-T", action="store_true", help="no terminal")
        execute.add_argument("service", choices=names)
        execute.add_argument("command", nargs=argparse.REMAINDER)


def _profiles() -> set[str]:
    return {one for service in services().values() for one in service.text.get("profiles", [])}


def _build(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser("docker build")
    parser.add_argument("--target", choices=stages())
    images = [one.text["image"] for one in services().values()]
    parser.add_argument("--tag", choices=[*images, "salesforce-cdc:mine"])
    parser.add_argument("folder", choices=[".", "~/my-code"])
    parser.parse_args(arguments)


def _docker(arguments: list[str]) -> None:
    if arguments[:1] == ["build"]:
        return _build(arguments[1:])
    if arguments[:1] != ["compose"]:
        raise WrongCommand("of docker only `build` and `compose` are known here")
    parsed = _Compose().parse_args(arguments[1:])
    if command := getattr(parsed, "command", None):
        check(command)


_CHECKS: dict[str, Callable[[list[str]], None]] = {
    "manage.py": _manage,
    "salesforce-cdc": _program,
    "make": _make,
    "celery": _celery,
    "gunicorn": _gunicorn,
    "pytest": _pytest,
    "-m pytest": _pytest,
    "-c": _code,
    "git": _git,
    "pg_dump": _pg_dump,
    "pg_restore": _pg_restore,
    "createdb": _pg_database,
    "dropdb": _pg_database,
    "pip": _pip,
    "-m venv": _venv,
    "-m benchmarks": _benchmarks,
    "-m benchmarks.console": _console_benchmarks,
    "-m benchmarks.versions": _versions,
    "openssl": _openssl,
    "mkdir": _folders,
    "touch": _echo,
    "echo": _echo,
    "docker": _docker,
}

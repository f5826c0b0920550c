"""Somebody who follows a guide."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from tests.guides.installations import Installations
from tests.guides.page import Command, File, Interrupt, Output, Step, expected, steps
from tests.guides.terminal import Terminal
from tests.servers import free_port

#: For a block to end, and for an output to come, on a busy machine.
COMMAND_SECONDS = 300.0
OUTPUT_SECONDS = 120.0
_PORT = re.compile(r"(?:(?:localhost|127\.0\.0\.1):|--port )(\d{4,5})\b")


class WrongGuide(Exception):
    """A step that does not do what the guide says."""


def follow(
    page: Path,
    home: Path,
    environment: Mapping[str, str],
    scripts: Path,
    installations: Installations | None = None,
) -> None:
    """Do what the page says, with `home` as the home folder. Raises WrongGuide.

    Other ports than the page's are used: those may be taken. At the end all terminals are closed.
    """
    with ExitStack() as stack:
        reader = _Reader(home, {**environment, "HOME": str(home)}, scripts, installations)
        stack.callback(reader.close)
        for step in steps(_with_free_ports(page.read_text())):
            try:
                reader.do(step)
            except Exception as error:
                raise WrongGuide(
                    f"{page.name}:{step.line}: {error}\n\n{reader.screens()}"
                ) from error


def _with_free_ports(markdown: str) -> str:
    ports = {port: str(free_port()) for port in _PORT.findall(markdown)}
    if not ports:
        return markdown
    return re.sub(rf"\b({'|'.join(ports)})\b", lambda found: ports[found[0]], markdown)


class _Reader:
    def __init__(
        self,
        home: Path,
        environment: Mapping[str, str],
        scripts: Path,
        installations: Installations | None,
    ) -> None:
        self._home, self._environment, self._scripts = home, environment, scripts
        self._installations = installations
        self._terminals: dict[str, Terminal] = {}
        self._staying: set[str] = set()

    def do(self, step: Step) -> None:
        terminal = self._terminal(step.terminal)
        match step:
            case File():
                _write(terminal.folder / step.path, step.text, is_added=step.is_added)
            case Command(stays=True):
                terminal.start(step.text)
                self._staying.add(step.terminal)
            case Command():
                terminal.run(self._installing_once(step.text), COMMAND_SECONDS)
            case Output() if step.terminal in self._staying:
                terminal.wait_for(expected(step.text), OUTPUT_SECONDS)
            case Output(repeats=True):
                self._repeat_until_shown(terminal, step.text)
            case Output():
                _compare(step.text, terminal.output)
            case Interrupt():
                terminal.interrupt()
                self._staying.discard(step.terminal)

    def _installing_once(self, commands: str) -> str:
        return self._installations.in_place(commands) if self._installations else commands

    def _repeat_until_shown(self, terminal: Terminal, text: str) -> None:
        deadline = time.monotonic() + OUTPUT_SECONDS
        while not _is_shown(text, terminal.output) and time.monotonic() < deadline:
            terminal.run_again(COMMAND_SECONDS)
        _compare(text, terminal.output)

    def _terminal(self, name: str) -> Terminal:
        if name not in self._terminals:
            self._terminals[name] = Terminal(self._home, self._environment, self._scripts)
        return self._terminals[name]

    def screens(self) -> str:
        """The end of what each terminal shows."""
        return "\n".join(
            f"── {name} terminal ──\n" + "\n".join(one.output.splitlines()[-30:])
            for name, one in self._terminals.items()
        )

    def close(self) -> None:
        """Raises WrongGuide if a process did not end with its terminal."""
        left = [line for one in reversed(self._terminals.values()) for line in one.close()]
        if left:
            raise WrongGuide(f"still running after Ctrl-C: {left}")


def _write(path: Path, text: str, *, is_added: bool) -> None:
    with path.open("a" if is_added else "x") as file:
        file.write(f"\n{text}" if is_added else text)


def _compare(text: str, output: str) -> None:
    if not _is_shown(text, output):
        raise WrongGuide(f"the guide shows\n{text}\nand the terminal\n{output}")


def _is_shown(text: str, output: str) -> bool:
    return bool(expected(text.strip("\n")).fullmatch(output.strip("\n") + "\n"))

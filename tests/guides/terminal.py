"""A terminal with a shell in it, as a reader has one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import shlex
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Mapping
from itertools import count
from pathlib import Path

import psutil

#: Colours, and what else a program tells a terminal.
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b[=>]|\r")
#: Gives the shell this terminal, for Ctrl-C.
_SHELL = (
    "import fcntl, os, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execvp('bash', ['bash', '--norc', '--noprofile', '--noediting', '-i'])"
)
_PROMPT = re.compile(r"^prompt-\d+ \d\n", re.MULTILINE)
_ROWS_AND_COLUMNS = struct.pack("HHHH", 50, 250, 0, 0)


class CommandFailed(Exception):
    """A command of a block ended with an error; the message has what the terminal shows."""


class NotShown(Exception):
    """An output did not come; the message has what came."""


class Terminal:
    """`enter` types commands, `output` is what came since they were typed."""

    def __init__(self, folder: Path, environment: Mapping[str, str], scripts: Path) -> None:
        self._scripts = scripts
        self._numbers = count()
        self._shown = ""
        self._begins = 0
        self._is_busy = False
        self._entered = ""
        self._master, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, _ROWS_AND_COLUMNS)
        self._shell = subprocess.Popen(
            [sys.executable, "-c", _SHELL],
            cwd=folder,
            env={**environment, "PS1": "", "PS2": ""},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._type("stty -echo; unset HISTFILE; failed=0; trap failed=1 ERR")
        self._wait_for_prompt()

    @property
    def folder(self) -> Path:
        """Where the shell is."""
        return Path(psutil.Process(self._shell.pid).cwd())

    @property
    def output(self) -> str:
        """What was shown since the last command was entered, or since `wait_for`."""
        return _PROMPT.sub("", self._shown[self._begins :])

    def start(self, commands: str) -> None:
        """Enter commands, and do not wait for their end."""
        script = self._scripts / f"{self._shell.pid}-{next(self._numbers)}.sh"
        script.write_text(commands)
        self._begins = len(self._shown)
        self._is_busy = True
        self._entered = commands
        self._type(f"failed=0; . {shlex.quote(str(script))}")

    def run(self, commands: str, seconds: float) -> None:
        """Enter commands, and wait for their end. Raises CommandFailed."""
        self.start(commands)
        if self._wait_for_prompt(seconds) != "0":
            raise CommandFailed(f"this failed:\n{commands}\n{self.output}")

    def run_again(self, seconds: float) -> None:
        self.run(self._entered, seconds)

    def interrupt(self, seconds: float = 30) -> None:
        """Ctrl-C, and wait until what was running has ended."""
        os.write(self._master, b"\x03")
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(NotShown):  # the shell drops what was typed when it is told
                self._wait_for_prompt(0.5)
                return
        raise NotShown(f"still running after Ctrl-C:\n{self.output}")

    def close(self) -> list[str]:
        """Interrupt what runs, and end the shell. Return the command lines of processes that are
        left, which are killed."""
        if self._is_busy:
            with contextlib.suppress(NotShown):
                self.interrupt()
        self._shell.send_signal(signal.SIGHUP)
        self._shell.wait(60)
        ours = [one for one in psutil.process_iter() if self._is_ours(one)]
        _, left = psutil.wait_procs(ours, timeout=10)
        lines = [shlex.join(one.cmdline()) for one in left]
        for one in left:
            one.kill()
        self._reader.join(60)
        os.close(self._master)
        return lines

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            is_of_this_session = os.getsid(process.pid) == self._shell.pid
            return is_of_this_session and process.status() != psutil.STATUS_ZOMBIE
        except (ProcessLookupError, psutil.NoSuchProcess):
            return False

    def _type(self, line: str) -> None:
        os.write(self._master, line.encode() + b"\n")

    def _wait_for_prompt(self, seconds: float = 10) -> str:
        """Ask the shell for a line, which it prints when all before has ended, with `$failed`."""
        number = next(self._numbers)
        self._type(f'printf "%s %s\\n" prompt-{number} "$failed"')
        found = self._wait(re.compile(rf"^prompt-{number} (\d)\n", re.MULTILINE), seconds)
        self._is_busy = False
        return found[1]

    def wait_for(self, pattern: re.Pattern[str], seconds: float) -> None:
        """Wait until this is shown. `output` then begins after it."""
        self._begins = self._wait(pattern, seconds).end()

    def _wait(self, pattern: re.Pattern[str], seconds: float) -> re.Match[str]:
        deadline = time.monotonic() + seconds
        while not (found := pattern.search(self._shown, self._begins)):
            if time.monotonic() > deadline:
                raise NotShown(f"not shown in {seconds} s: {pattern.pattern}\n{self.output}")
            time.sleep(0.02)
        return found

    def _read(self) -> None:
        rest = b""
        with contextlib.suppress(OSError):  # the last process in the terminal has ended
            while read := os.read(self._master, 65536):
                whole, newline, rest = (rest + read).rpartition(b"\n")
                self._shown += _CONTROL.sub("", (whole + newline).decode(errors="replace"))

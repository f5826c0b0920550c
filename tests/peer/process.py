"""A peer process: another project's server that behaves like Salesforce."""

import fcntl
import json
import os
import queue
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

from tests.servers import PATIENCE_SECONDS, wait_for

HERE = Path(__file__).resolve().parent
STOP_SECONDS = 5


def missing_node() -> str:
    """Return what to install, or an empty text if nothing is missing."""
    missing = [program for program in ("node", "npm") if shutil.which(program) is None]
    return f"{' and '.join(missing)} missing; on Debian: apt-get install nodejs npm" * bool(missing)


def install_modules(cache: Path, home: Path = HERE) -> Path:
    """Return the folder of the node modules that `home`'s package.json names.

    They are beside it, or are installed in `cache` once. Raises RuntimeError that says what to do.
    """
    libraries: list[str] = [*json.loads((home / "package.json").read_text())["dependencies"]]
    beside = home / "node_modules"
    folder = cache / "node_modules"
    for installed in (beside, folder):
        if all((installed / library).is_dir() for library in libraries):
            return installed
    with (
        (cache / "installing.lock").open("w") as lock,
        tempfile.TemporaryDirectory(dir=cache) as workshop,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)  # one download for all workers
        if all((folder / library).is_dir() for library in libraries):
            return folder
        for name in ("package.json", "package-lock.json"):
            shutil.copy(home / name, workshop)
        command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        try:
            done = subprocess.run(
                command, cwd=workshop, capture_output=True, check=False, text=True, timeout=200
            )
            failed, why = done.returncode != 0, done.stderr.partition("\n")[0]
        except subprocess.TimeoutExpired as error:
            failed, why = True, str(error)
        if failed:
            raise RuntimeError(f"npm could not install; run `npm ci` in {home}: {why}")
        Path(workshop, "node_modules").rename(folder)
    return folder


class NodeOrg:
    """Starts an org on a free port, or on `port`, and drives it over its control API.

    With a `port` it can be stopped and started again under the same address; its events, tokens
    and sessions do not outlive it. `options` are the script's own: times in milliseconds.
    """

    script: str

    def __init__(self, modules: Path, *, port: int = 0, **options: Any) -> None:
        self.credentials = {
            "client_id": "3MVG9-the-client-of-these-tests",
            "client_secret": "the-client's-secret-0123456789",
            "username": "integration@example.com",
            "password": "the-password-and-its-security-token",
            "refresh_token": "5Aep861-the-first-refresh-token",
        }
        self._modules = modules
        self._port = port
        self._options = options
        self._process: subprocess.Popen[str] | None = None
        self._http = requests.Session()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start the peer, and wait until it listens."""
        options = {"port": self._port, "credentials": self.credentials, **self._options}
        self._process = subprocess.Popen(
            ["node", str(HERE / self.script), json.dumps(options)],
            env={**os.environ, "NODE_PATH": str(self._modules)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._started(json.loads(self._first_line(self._process)))

    def _started(self, announced: dict[str, int]) -> None:
        self._port = announced["port"]

    def _first_line(self, process: subprocess.Popen[str]) -> str:
        lines: queue.Queue[str] = queue.Queue()
        output = process.stdout
        assert output is not None
        threading.Thread(target=lambda: lines.put(output.readline()), daemon=True).start()
        try:
            line = lines.get(timeout=PATIENCE_SECONDS)
        except queue.Empty:
            line = ""
        if not line:
            self.close()
            raise RuntimeError("the peer did not start; its errors are on standard error")
        return line

    def close(self) -> None:
        """Stop the peer by closing its standard input, and close the connections to it."""
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
        self._http.close()

    def log(self) -> dict[str, Any]:
        """Return `logins`, the faults that `happened`, and the number of polls or streams that are
        `held`."""
        answer = self._http.get(f"{self.url}/_peer/log", timeout=PATIENCE_SECONDS)
        answer.raise_for_status()
        log: dict[str, Any] = answer.json()
        return log

    def happened(self, fault: str) -> int:
        count: int = self.log()["happened"].get(fault, 0)
        return count

    def wait_until_held(self, polls: int = 1) -> None:
        """Wait until that many long polls are held, or streams wait for events."""
        wait_for(lambda: self.log()["held"] == polls, what="a held poll")

    def forget_events(self) -> None:
        """Forget all events, so that earlier positions are unknown."""
        self._post("forget")

    def _post(self, action: str, **body: Any) -> dict[str, Any]:
        answer = self._http.post(f"{self.url}/_peer/{action}", json=body, timeout=PATIENCE_SECONDS)
        answer.raise_for_status()
        result: dict[str, Any] = answer.json()
        return result


class PeerProcess(NodeOrg):
    """A peer on a CometD server. Its log also has `handshakes` and `subscribes`."""

    script = "peer.js"
    last_replay_id = 0

    # What happens in the org

    def publish(self, *payloads: dict[str, Any], channel: str | None = None) -> list[int]:
        """Commit and send events in order, and return their replay ids.

        They go to /data/ChangeEvents and to their entity's channel, or to `channel` alone.
        """
        more = {"channel": channel} if channel else {}
        events = [{"payload": json.dumps(payload), **more} for payload in payloads]
        replay_ids: list[int] = self._post("publish", events=events)["replay_ids"]
        self.last_replay_id = replay_ids[-1]
        return replay_ids

    # Faults

    def revoke_tokens(self, *, refusal: str = "bayeux") -> None:
        """Refuse every token given so far, with a Bayeux message or, for `http`, a status."""
        self._post("revoke", refusal=refusal)

    def drop_sessions(self) -> None:
        """Forget every session with its messages: 403::Unknown client."""
        self._post("drop")

    def hang_up(self) -> None:
        """Cut the connections on which a request waits for its answer."""
        self._post("hangup")

    def unavailable(self, times: int) -> None:
        """Answer the next requests with 503."""
        self._post("fault", kind="unavailable", times=times)

    def busy(self, times: int) -> None:
        """Refuse the next requests as too busy, in Salesforce's words."""
        self._post("fault", kind="busy", times=times)

    def cut(self, times: int, *, with_events: bool = False) -> None:
        """Cut the connection in the middle of the next answers, or of those with events."""
        self._post("fault", kind="cut-events" if with_events else "cut", times=times)

    def mangle(self, times: int) -> None:
        """Truncate the JSON of the next answers with events."""
        self._post("fault", kind="mangle-events", times=times)

    def replays(self) -> list[Any]:
        """Return the replay ids of the granted subscriptions, in order."""
        return [
            subscribe["replay"][subscribe["subscription"]]
            for subscribe in self.log()["subscribes"]
            if subscribe["successful"]
        ]

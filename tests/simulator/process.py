"""The simulator as a process of its own, for tests of whatever talks to it."""

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 20
STOP_SECONDS = 5


class SimulatorProcess:
    """Starts `python -m simulator` on a free port, and drives it over its control API.

    Use it as a context manager:

        with SimulatorProcess("--connect-timeout", "5") as org:
            [account_id] = org.create("Account", Name="Acme")
            org.update("Account", account_id, Phone=None)

    `options` go to the command line as they are. With `port` it listens there, so that it can be
    stopped and started again under the same address; records and events do not outlive it.
    Whatever creates events returns the control API's answer, except `create`, which returns ids.
    """

    def __init__(self, *options: str, port: int = 0) -> None:
        self._options = options
        self._port = port
        self._process: subprocess.Popen[str] | None = None
        self._http = requests.Session()
        self.credentials: dict[str, str] = {}
        self.url = ""

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
    def port(self) -> int:
        """The port that it listens on, also after it has stopped."""
        return self._port

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None, "the simulator is not running"
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it listens; after a stop, on the same port again."""
        arguments = ["--port", str(self._port), "--json", "--exit-with-stdin", *self._options]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "simulator", *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        announcement = json.loads(self._first_line(self._process))
        self._port = announcement.pop("port")
        self.url = announcement.pop("url")
        self.credentials = announcement

    def _first_line(self, process: subprocess.Popen[str]) -> str:
        lines: queue.Queue[str] = queue.Queue()
        assert process.stdout is not None
        threading.Thread(
            target=lambda output: lines.put(output.readline()),
            args=(process.stdout,),
            daemon=True,
        ).start()
        try:
            line = lines.get(timeout=START_SECONDS)
        except queue.Empty:
            line = ""
        if not line:
            self.kill()
            raise RuntimeError("the simulator did not start; its errors are on standard error")
        return line

    def stop(self) -> int:
        """End it with SIGTERM, or kill it if it does not end; returns its exit code."""
        process = self._process
        assert process is not None, "the simulator is not running"
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
        return self._reap(process)

    def kill(self) -> int:
        """End it with SIGKILL, as a crash would; returns its exit code."""
        process = self._process
        assert process is not None, "the simulator is not running"
        process.kill()
        return self._reap(process)

    def _reap(self, process: subprocess.Popen[str]) -> int:
        code = process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        self._process = None
        return code

    def close(self) -> None:
        """Stop it if it runs, and let go of the connections to it."""
        if self._process is not None:
            self.stop()
        self._http.close()

    def create(self, entity: str, *records: dict[str, Any], **fields: Any) -> list[str]:
        """Create a record from keywords, or several from dicts, in one transaction; their ids."""
        body = {"op": "create", "entity": entity, "records": list(records) or [fields]}
        record_ids: list[str] = self.change(body)["record_ids"]
        return record_ids

    def update(self, entity: str, record_ids: str | list[str], **fields: Any) -> dict[str, Any]:
        """Set the same fields on records, None to clear; the same change on N is one event."""
        ids = _listed(record_ids)
        return self.change({"op": "update", "entity": entity, "record_ids": ids, "fields": fields})

    def delete(self, entity: str, record_ids: str | list[str]) -> dict[str, Any]:
        """Delete records."""
        ids = _listed(record_ids)
        return self.change({"op": "delete", "entity": entity, "record_ids": ids})

    def undelete(self, entity: str, record_ids: str | list[str]) -> dict[str, Any]:
        """Take records back from the Recycle Bin."""
        ids = _listed(record_ids)
        return self.change({"op": "undelete", "entity": entity, "record_ids": ids})

    def gap(
        self,
        change_type: str,
        entity: str,
        record_ids: str | list[str],
        *,
        apply: bool = False,
        **fields: Any,
    ) -> dict[str, Any]:
        """Send a GAP_… event; with `apply`, also make the change (with `fields`) to the records."""
        body = {"op": "gap", "entity": entity, "change_type": change_type, "apply": apply}
        return self.change({**body, "record_ids": _listed(record_ids), "fields": fields})

    def overflow(self, entity: str) -> dict[str, Any]:
        """Send a GAP_OVERFLOW event."""
        return self.change({"op": "overflow", "entity": entity})

    def wildcard(self, entity: str, change_type: str = "UPDATE") -> dict[str, Any]:
        """Send an event whose recordIds are `001*`."""
        return self.change({"op": "wildcard", "entity": entity, "change_type": change_type})

    def change(self, *changes: dict[str, Any], **writer: str) -> dict[str, Any]:
        """Commit changes as one transaction; `writer` may set `api`, `client` and `user`."""
        return self.post("changes", changes=list(changes), **writer)

    def raw(
        self, header: dict[str, Any], *, complete: bool = False, **fields: Any
    ) -> dict[str, Any]:
        """Send an event with this header as it is; with `complete`, missing parts are filled in."""
        return self.post("events", header=header, fields=fields, complete=complete)

    def raw_payload(self, payload: dict[str, Any], entity: str = "") -> dict[str, Any]:
        """Log and send an event with this payload, header or not."""
        return self.post("events", payload=payload, entity=entity)

    def inject(self, channel: str, message: dict[str, Any]) -> int:
        """Send any message to the present subscribers of a channel; how many there are."""
        sessions: int = self.post("messages", channel=channel, message=message)["sessions"]
        return sessions

    def duplicate(self, replay_id: int) -> dict[str, Any]:
        """Deliver a retained event once more."""
        return self.post("duplicates", replay_id=replay_id)

    def burst(self, count: int, **options: Any) -> dict[str, Any]:
        """Generate events all at once; `mix` and `entities` may set weights, `quiet` the answer."""
        return self.post("bursts", count=count, **options)

    def traffic(self, rate: float, count: int | None = None) -> dict[str, Any]:
        """Generate events at a rate from now on; a rate of 0 stops it."""
        return self.post("traffic", rate=rate, count=count)

    def fault(self, kind: str, **options: Any) -> dict[str, Any]:
        """Add a fault; see `simulator.control` for the kinds, `times=None` for until cleared."""
        return self.post("faults", kind=kind, **options)

    def clear_faults(self) -> None:
        """Forget the faults that wait."""
        self._checked(self._http.delete(f"{self.url}/_simulator/faults", timeout=10))

    def entity(self, name: str, **options: Any) -> dict[str, Any]:
        """Make an entity, or change whether it is `selected` or `visible`."""
        return self.post("entities", name=name, **options)

    def channel(self, name: str, *entities: str) -> str:
        """Make a custom channel `X__chn`; its path."""
        path: str = self.post("channels", name=name, entities=list(entities))["channel"]
        return path

    def advance(self, seconds: float) -> None:
        """Move the org's clock ahead: tokens, idle sessions and events age at once."""
        self.post("clock", advance_seconds=seconds)

    def new_refresh_token(self) -> str:
        """Authorize anew, after rotation has revoked everything."""
        token: str = self.post("refresh-token")["refresh_token"]
        return token

    def state(self, *, events: int | None = None, records: int | None = None) -> dict[str, Any]:
        """Records, events, sessions, token requests and faults; the arguments limit the lists."""
        limits = {"events": events, "records": records}
        return self._checked(
            self._http.get(f"{self.url}/_simulator/state", params=limits, timeout=30)
        )

    def wait_for(
        self, condition: Callable[[dict[str, Any]], bool], seconds: float = 20
    ) -> dict[str, Any]:
        """The first state, without its events and records, for which the condition holds."""
        deadline = time.monotonic() + seconds
        while not condition(state := self.state(events=0, records=0)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the simulator did not come to that state: {state}")
            time.sleep(0.01)
        return state

    def wait_until_held(self) -> None:
        """Until a client's long poll is held."""
        self.wait_for(lambda state: any(session["held"] for session in state["sessions"]))

    def post(self, action: str, **body: Any) -> dict[str, Any]:
        """Any request to the control API; raises ValueError with its error message."""
        return self._checked(
            self._http.post(f"{self.url}/_simulator/{action}", json=body, timeout=60)
        )

    def _checked(self, response: requests.Response) -> dict[str, Any]:
        if response.status_code == 400:
            raise ValueError(response.json()["error"])
        response.raise_for_status()
        answer: dict[str, Any] = response.json()
        return answer


def _listed(record_ids: str | list[str]) -> list[str]:
    return [record_ids] if isinstance(record_ids, str) else record_ids

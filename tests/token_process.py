"""A process that uses a connection's tokens, controlled by lines on stdin.

    python -m tests.token_process CONNECTION        commands on stdin, answers on stdout, in JSON

`{"at": SECONDS}` sets its clock, asks for the token and answers `{"token": …}` or `{"refused": …}`.
Like the product's callers, it asks again while the login is unavailable, and after two minutes it
answers `{"unavailable": …}`.
`{"die": POINT, "flag": PATH}` makes the first process that reaches POINT and can remove the file
kill itself there with SIGKILL.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import django

POINTS = ("locked", "about to send", "stored")


class MortalStore:
    """A token store that can kill its process at a given point."""

    def __init__(self, store):
        self._store = store
        self.point = ""
        self.flag = Path("/nonexistent")

    def __getattr__(self, name):
        return getattr(self._store, name)

    def lock(self, owner, seconds):
        fence = self._store.lock(owner, seconds)
        if fence is not None:
            self._die_at("locked")
        return fence

    def save(self, fence, kept):
        saved = self._store.save(fence, kept)
        self._die_at("about to send" if kept.sending else "stored")
        return saved

    def _die_at(self, point):
        if point != self.point:
            return
        try:
            self.flag.unlink()
        except FileNotFoundError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


def main(name: str) -> None:
    django.setup()

    from listeners.connections.login_attempts import LoginLedger
    from listeners.connections.token_sources import credentials_digest, grant_of
    from listeners.models import Connection
    from listeners.salesforce.errors import LoginUnavailable, SalesforceError
    from listeners.salesforce.tokens.source import TokenSource
    from listeners.token_stores import store_of

    connection = Connection.objects.get(name=name)
    store = MortalStore(store_of(connection))
    clock = [0.0]
    source = TokenSource(
        grant_of(connection),
        seed=credentials_digest(connection),
        store=store,
        ledger=LoginLedger(connection),
        now=lambda: clock[0],
        lock_seconds=1.0,
    )
    for line in sys.stdin:
        command = json.loads(line)
        store.point, store.flag = command.get("die", ""), Path(command.get("flag", "/nonexistent"))
        clock[0] = command["at"]
        until = time.monotonic() + 120
        answer: dict[str, str] = {}
        while not answer:
            try:
                answer = {"token": source.get().access_token}
            except LoginUnavailable as error:
                # Such as after a lock that expired before it was used.
                if time.monotonic() > until:
                    answer = {"unavailable": str(error)}
                time.sleep(0.1)
            except SalesforceError as error:
                answer = {"refused": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])

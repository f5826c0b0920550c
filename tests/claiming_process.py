"""A process that claims a background job, controlled by lines on stdin.

    python -m tests.claiming_process MODEL ID SECONDS     `audit.Reconciliation 7 5`

`take` on stdin answers `claimed` or `another's`, and `extend` answers `extended` or `lost`.
"""

import sys
from datetime import timedelta

import django


def main(model: str, pk: str, seconds: str) -> None:
    django.setup()

    from django.apps import apps

    from audit.jobs.claim import Claim, ClaimLost
    from listeners.clock import database_clock

    jobs = apps.get_model(model).objects.filter(pk=pk)
    claim = None
    print("ready", flush=True)
    for line in sys.stdin:
        match line.strip():
            case "take":
                claim = Claim.take(jobs, database_clock.now(), timedelta(seconds=float(seconds)))
                print("claimed" if claim else "another's", flush=True)
            case "extend":
                assert claim is not None
                try:
                    claim.extend()
                    print("extended", flush=True)
                except ClaimLost:
                    print("lost", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

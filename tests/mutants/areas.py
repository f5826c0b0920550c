"""The modules that carry the invariants, by area. Each area gives an equal part of the sample."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

#: Patterns of paths below the repository.
AREAS: dict[str, tuple[str, ...]] = {
    "ingest": (
        "consumer/ingest/transaction.py",
        "consumer/ingest/quarantine.py",
        "consumer/ingest/quarantine_retry.py",
    ),
    "positions": (
        "consumer/ingest/position.py",
        "consumer/stream/start_position.py",
        "consumer/stream/replay_lost.py",
        "consumer/stream/session.py",
        "consumer/stream/commit_mark.py",
    ),
    "leases": (
        "listeners/leases.py",
        "consumer/host/threads.py",
        "consumer/host/assignment.py",
    ),
    "recorder": (
        "consumer/stream/recorder.py",
        "consumer/stream/buffer.py",
        "consumer/stream/receiver.py",
        "consumer/stream/reconnect_delay.py",
        "audit/db/retry.py",
        "listeners/salesforce/backoff.py",
        "listeners/salesforce/http/request.py",
    ),
    "relay": ("consumer/relay.py", "handlers/models/delivery_queryset.py"),
    "claims": (
        "audit/jobs/claim.py",
        "handlers/worker/claim.py",
        "handlers/worker/hot_sql.py",
        "handlers/worker/connection_guard.py",
        "handlers/types.py",
    ),
    "settling": ("handlers/worker/settle.py", "handlers/worker/message_run.py"),
    "lanes": (
        "handlers/ordering/rechain.py",
        "handlers/ordering/left_behind.py",
        "handlers/routing/router.py",
        "handlers/models/chain_heads.py",
        "handlers/mappings/retarget.py",
        "handlers/ordering/address.py",
    ),
    "outbox": (
        "handlers/outbox/create.py",
        "handlers/outbox/publish.py",
        "handlers/broker.py",
        "handlers/outbox/handover.py",
        "handlers/routing/saves.py",
    ),
    "redelivery": (
        "handlers/redelivery/*.py",
        "handlers/ordering/read_records.py",
        "handlers/superseded/*.py",
    ),
    "token source": (
        "listeners/salesforce/tokens/source.py",
        "listeners/salesforce/tokens/store.py",
        "listeners/salesforce/tokens/persist.py",
        "listeners/token_stores/*.py",
    ),
    "decoders": (
        "listeners/salesforce/decode.py",
        "listeners/salesforce/diffs.py",
        "listeners/salesforce/cometd/answers.py",
        "listeners/salesforce/pubsub/bitmaps.py",
        "listeners/salesforce/pubsub/to_cometd.py",
        "listeners/salesforce/pubsub/payload_reader.py",
        "listeners/salesforce/pubsub/values.py",
    ),
    "outbound rules": (
        "listeners/egress.py",
        "listeners/salesforce/http/egress_guard.py",
        "listeners/salesforce/http/allowlist.py",
        "listeners/salesforce/http/addresses.py",
    ),
    "permissions": (
        "listeners/access/permissions.py",
        "listeners/access/object_grants.py",
        "listeners/field_masking.py",
        "audit/log/masking.py",
        "api/protocol/permissions.py",
    ),
    "export": ("handlers/reporting/export.py",),
}


def modules(area: str) -> Iterator[str]:
    """Yield the paths of an area's modules, relative to the repository."""
    for pattern in AREAS[area]:
        for path in sorted(ROOT.glob(pattern)):
            if path.name != "__init__.py":
                yield str(path.relative_to(ROOT))


def every_module() -> list[str]:
    return sorted({path for area in AREAS for path in modules(area)})

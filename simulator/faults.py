"""The faults that wait for the next requests."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from simulator import pubsub_codes as codes
from simulator.org.records import JsonObject

TARGETS = ("cometd", "token", "rest", "bulk", "pubsub")
KINDS: Mapping[str, JsonObject] = {
    "http_status": {
        **{"target": "cometd", "channel": "", "status": 503, "retry_after": None},
        "empty": False,
    },
    "rest_error": {"target": "rest", "channel": "", "code": "", "message": "", "status": None},
    "close": {"target": "cometd", "channel": "", "events_only": False, "keep_events": False},
    "malformed": {"target": "cometd", "channel": "", "events_only": False, "keep_events": False},
    "stall": {"target": "cometd", "channel": "", "seconds": 5.0},
    "too_busy": {"channel": "/meta/connect"},
    "connection_limit": {"channel": "/meta/handshake"},
    "refuse_subscribe": {"channel": "/meta/subscribe", "subscription": "", "error": ""},
    "meta_error": {
        "channel": "/meta/connect",
        "error": "",
        "failure_reason": "",
        "reconnect": "",
    },
    "grpc_status": {
        **{"target": "pubsub", "method": "", "channel": "", "after_events": None},
        **{"code": "", "status": "", "details": ""},
    },
    "grpc_stall": {
        **{"target": "pubsub", "method": "Subscribe", "channel": ""},
        **{"seconds": 5.0, "keep_alives": False},
    },
    "job_stuck": {"entity": "", "state": "InProgress"},
    "job_failed": {"entity": "", "error_message": ""},
    "job_miscount": {"entity": "", "records": 1},
    "short_page": {"entity": "", "rows": 1},
    "refuse_login": {"error": "invalid_grant", "error_description": "authentication failure"},
}
ON_ARRIVAL = ("http_status",)
ON_ANSWER = ("stall", "close", "malformed")
GRPC = ("grpc_status", "grpc_stall")
JOB_STATES = ("UploadComplete", "InProgress")
META = ("too_busy", "connection_limit", "refuse_subscribe", "meta_error")


@dataclass(slots=True, eq=False)
class Fault:
    """One fault; with `remaining` None it lasts until it is cleared."""

    kind: str
    remaining: int | None
    options: JsonObject

    def applies(self, target: str, channel: str, subscription: str = "", entity: str = "") -> bool:
        """Return whether the fault applies to such a request."""
        wanted = self.options
        return (
            wanted.get("target", target) == target
            and wanted.get("channel") in (None, "", channel)
            and wanted.get("subscription") in (None, "", subscription)
            and wanted.get("entity") in (None, "", entity)
        )


@dataclass(slots=True)
class Faults:
    """The waiting faults, oldest first."""

    waiting: list[Fault] = field(default_factory=list)

    def add(self, kind: str, times: int | None, options: JsonObject) -> None:
        """Add a fault for the next `times` requests. Raises ValueError for an unknown one."""
        if kind not in KINDS:
            raise ValueError(f"unknown kind {kind!r}; known are {', '.join(KINDS)}")
        defaults = KINDS[kind]
        for name, value in options.items():
            if name not in defaults:
                raise ValueError(f"{kind} has no option {name!r}; it has {', '.join(defaults)}")
            _check_type(name, value, defaults[name])
        merged = {**defaults, **options}
        if merged.get("target", "cometd") not in TARGETS:
            raise ValueError(f"target must be one of {', '.join(TARGETS)}")
        if merged.get("error") == "":
            raise ValueError(f"{kind} needs the error string to answer with")
        if kind == "rest_error" and not merged["code"]:
            raise ValueError("rest_error needs the code to answer with")
        if kind == "job_stuck" and merged["state"] not in JOB_STATES:
            raise ValueError(f"state must be one of {', '.join(JOB_STATES)}")
        if kind == "grpc_status":
            _check_grpc(merged)
        self.waiting.append(Fault(kind, times, merged))

    def take(
        self,
        kinds: tuple[str, ...],
        *,
        target: str,
        channel: str = "",
        subscription: str = "",
        entity: str = "",
        has_events: bool = True,
    ) -> Fault | None:
        """Return the oldest fault for this request and count its use, or None."""
        for fault in self.waiting:
            if fault.kind not in kinds or not fault.applies(target, channel, subscription, entity):
                continue
            if fault.options.get("events_only") and not has_events:
                continue
            self.use(fault)
            return fault
        return None

    def use(self, fault: Fault) -> None:
        if fault.remaining is None:
            return
        fault.remaining -= 1
        if fault.remaining <= 0:
            self.waiting.remove(fault)

    def clear(self) -> int:
        """Clear every waiting fault, and return how many there were."""
        count = len(self.waiting)
        self.waiting.clear()
        return count


def _check_grpc(options: JsonObject) -> None:
    options["code"] = options["code"].removeprefix(codes.PREFIX)
    if options["code"] and options["code"] not in codes.STATUSES:
        raise ValueError(f"unknown code; known are {', '.join(codes.STATUSES)}")
    if options["status"] and options["status"] not in codes.GRPC_STATUSES:
        raise ValueError(f"unknown status; known are {', '.join(codes.GRPC_STATUSES)}")


def _check_type(name: str, value: object, default: object) -> None:
    match default:
        case bool():
            good = isinstance(value, bool)
        case None | int() | float():
            good = isinstance(value, int | float) and not isinstance(value, bool)
        case _:
            good = isinstance(value, str)
    if not good:
        raise ValueError(f"option {name!r} has a value of the wrong type: {value!r}")

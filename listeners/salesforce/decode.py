"""Decodes data messages of either transport to change events, without clock, network or state.

Events of the Pub/Sub API have the form of the Streaming API (CometD) here: `pubsub.to_cometd`
converts them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from listeners.salesforce.errors import Undecodable
from listeners.salesforce.events import PRESETS, ChangeEvent

_HEADER = "data.payload.ChangeEventHeader"
_LATEST_MS = 253_402_300_799_999  # the last millisecond of the year 9999
_BIGINT = 2**63  # whole numbers of the header are stored as 64-bit integers
_REPLAY_ID_LENGTH = 255  # characters that the database column holds
_REPLAY_ID_BITS = 800  # a number of this size has at most 241 digits
_LONGEST_IDENTITY = 600  # characters in total: PostgreSQL indexes at most 2,704 bytes
_MOST_TOGETHER = 256 * 1024 * 1024  # bytes: a change is stored once for each of its records
_DEEPEST = 500  # nested lists and objects in a payload: databases accept about a thousand

#: The header fields that are attributes of ChangeEvent.
_KNOWN_FIELDS = frozenset(
    {
        *("entityName", "recordIds", "changeType", "changeOrigin", "transactionKey"),
        *("sequenceNumber", "commitTimestamp", "commitNumber", "commitUser"),
        *("changedFields", "nulledFields", "diffFields"),
    }
)


class _FlawError(Exception):
    """A message is invalid; the text says where and why."""


def decode(message: Mapping[str, Any]) -> list[ChangeEvent]:
    """Return the events of ``message``, one for each record id, in the message's order.

    ``message`` is ``{"channel", "data": {"payload": {…fields…, "ChangeEventHeader": {…}},
    "event": {"replayId", "EventUuid"?}}}``. Required in the header: entityName, recordIds,
    changeType, transactionKey, sequenceNumber, commitTimestamp. Instead of ``data`` there may be
    ``pubsub``: a Pub/Sub event that could not be decoded earlier. Raises only ``Undecodable``,
    whose reason names the missing or invalid part.
    """
    try:
        return _events(_from_pubsub(message) if _is_undecoded(message) else message)
    except _FlawError as flaw:
        reason = str(flaw)
    raise Undecodable(reason, message_text(message), _replay_id_or_none(message))


def message_text(message: Mapping[str, Any]) -> str:
    """Return ``message`` as ASCII JSON, so that databases can store NULs and lone surrogates."""
    try:
        return json.dumps(message, default=repr)
    except (TypeError, ValueError, RecursionError):
        return "(the message cannot be written as JSON)"


def _is_undecoded(message: Mapping[str, Any]) -> bool:
    return "pubsub" in message and "data" not in message


def _from_pubsub(message: Mapping[str, Any]) -> Mapping[str, Any]:
    from listeners.salesforce.pubsub.to_cometd import read_again  # imports Avro, used rarely

    again = read_again(message)
    if "flaw" in again:
        raise _FlawError(again["flaw"])
    return again


def _events(message: Mapping[str, Any]) -> list[ChangeEvent]:
    channel = _text(message, "channel", "")
    data = _object(message, "data", "")
    payload = _object(data, "payload", "data")
    header = _object(payload, "ChangeEventHeader", "data.payload")
    event = _object(data, "event", "data")
    record_ids = _record_ids(header)
    changed = dict(payload)
    del changed["ChangeEventHeader"]
    _require_storable(changed, "data.payload")
    first = ChangeEvent(
        channel=channel,
        replay_id=_replay_id(event),
        event_uuid=_optional_text(event, "EventUuid", "data.event"),
        entity_name=_text(header, "entityName", _HEADER),
        record_id=record_ids[0],
        record_ids=record_ids,
        change_type=_text(header, "changeType", _HEADER),
        change_origin=_optional_text(header, "changeOrigin", _HEADER),
        transaction_key=_text(header, "transactionKey", _HEADER),
        sequence_number=_whole(header, "sequenceNumber", 0, _BIGINT - 1),
        commit_timestamp=_whole(header, "commitTimestamp", 0, _LATEST_MS),
        commit_number=_optional_whole(header, "commitNumber"),
        commit_user=_optional_text(header, "commitUser", _HEADER),
        changed_fields=_optional_names(header, "changedFields"),
        nulled_fields=_optional_names(header, "nulledFields"),
        diff_fields=_optional_names(header, "diffFields"),
        changed_data=changed,
        header_extra=_extra(header),
    )
    _require_indexable(first)
    _require_few(first)
    others = [
        replace(first, record_id=record_id, changed_data=dict(changed))
        for record_id in record_ids[1:]
    ]
    return [first, *others]


def _require_few(event: ChangeEvent) -> None:
    count = len(event.record_ids)
    if count == 1:
        return
    each = len(json.dumps(event.changed_data)) + len(json.dumps(event.header_extra))
    if each * count > _MOST_TOGETHER:
        raise _FlawError(
            f"{_HEADER}.recordIds has {count} records with {each} bytes each: more "
            f"than {_MOST_TOGETHER // 1024**2} MiB in total"
        )


def _extra(header: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the header's other fields that are not null; None if there are none.

    An example is `isTransactionEnd`, up to API version 45.
    """
    if _KNOWN_FIELDS.issuperset(header):
        return None
    extra = {
        name: value
        for name, value in header.items()
        if name not in _KNOWN_FIELDS and value is not None
    }
    _require_storable(extra, _HEADER)
    return extra or None


def _require_indexable(event: ChangeEvent) -> None:
    named = len(event.entity_name) + len(event.change_type) + len(event.transaction_key)
    if named + max(map(len, event.record_ids)) > _LONGEST_IDENTITY:
        raise _FlawError(
            f"{_HEADER}: entityName, changeType, transactionKey and a record id have more than "
            f"{_LONGEST_IDENTITY} characters in total"
        )


def _at(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _required(of: Mapping[str, Any], name: str, where: str) -> Any:
    value = of.get(name)
    if value is None:
        raise _FlawError(f"{_at(where, name)} is {'null' if name in of else 'missing'}")
    return value


def _object(of: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    value = of.get(name)
    if type(value) is dict:
        return value
    value = _required(of, name, where)
    if not isinstance(value, Mapping):
        raise _FlawError(f"{_at(where, name)} is {_kind(value)}, not an object")
    return value


def _text(of: Mapping[str, Any], name: str, where: str) -> str:
    value = of.get(name)
    if type(value) is str and value:
        return value
    value = _required(of, name, where)
    if not isinstance(value, str):
        raise _FlawError(f"{_at(where, name)} is {_kind(value)}, not a string")
    if not value:
        raise _FlawError(f"{_at(where, name)} is empty")
    return value


def _optional_text(of: Mapping[str, Any], name: str, where: str) -> str | None:
    value = of.get(name)
    if value is None or isinstance(value, str):
        return value
    raise _FlawError(f"{_at(where, name)} is {_kind(value)}, not a string")


def _whole(header: Mapping[str, Any], name: str, least: int, most: int) -> int:
    value = header.get(name)
    if type(value) is int and least <= value <= most:
        return value
    value = _required(header, name, _HEADER)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _FlawError(f"{_at(_HEADER, name)} is {_kind(value)}, not a whole number")
    if not least <= value <= most:
        raise _FlawError(f"{_at(_HEADER, name)} is not between {least} and {most}")
    return value


def _optional_whole(header: Mapping[str, Any], name: str) -> int | None:
    return None if header.get(name) is None else _whole(header, name, -_BIGINT, _BIGINT - 1)


def _names(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise _FlawError(f"{where} is {_kind(value)}, not an array")
    for element in value:
        if type(element) is not str:
            raise _FlawError(f"{where} contains {_kind(element)}, not only strings")
    return tuple(value)


def _optional_names(header: Mapping[str, Any], name: str) -> tuple[str, ...] | None:
    value = header.get(name)
    return None if value is None else _names(value, _at(_HEADER, name))


def _record_ids(header: Mapping[str, Any]) -> tuple[str, ...]:
    value = header.get("recordIds")
    if type(value) is list and len(value) == 1 and type(value[0]) is str and value[0]:
        return (value[0],)
    where = _at(_HEADER, "recordIds")
    names = _names(_required(header, "recordIds", _HEADER), where)
    if not names:
        raise _FlawError(f"{where} is empty")
    if "" in names:
        raise _FlawError(f"{where} contains an empty string")
    return tuple(dict.fromkeys(names))


def _replay_id(event: Mapping[str, Any]) -> str:
    value = _required(event, "replayId", "data.event")
    if isinstance(value, str) and value:
        if not (value.isascii() and value.isprintable() and len(value) <= _REPLAY_ID_LENGTH):
            raise _FlawError("data.event.replayId is not printable ASCII, or is too long")
        return _no_preset(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _FlawError(f"data.event.replayId is {_kind(value)}, not a number or a string")
    if value.bit_length() > _REPLAY_ID_BITS:  # checked first: str() fails for huge numbers
        raise _FlawError("data.event.replayId is a number with too many digits")
    return _no_preset(str(value))


def _no_preset(replay_id: str) -> str:
    if replay_id in PRESETS:
        raise _FlawError(f"data.event.replayId is {replay_id}, which is reserved for subscribing")
    return replay_id


def _replay_id_or_none(message: Mapping[str, Any]) -> str | None:
    try:
        if _is_undecoded(message):
            return _replay_id(_object(message, "pubsub", ""))
        return _replay_id(_object(_object(message, "data", ""), "event", "data"))
    except _FlawError:
        return None


_PLAIN = frozenset((str, int, bool, type(None)))


def _require_storable(values: Mapping[str, Any] | Sequence[Any], at: str, depth: int = 0) -> None:
    """Refuse values that databases cannot store: NaN, Infinity (also 1e999), and deep nesting."""
    items: Iterable[Any] = values.items() if isinstance(values, Mapping) else enumerate(values)
    for name, value in items:
        kind = type(value)
        if kind in _PLAIN or (kind is float and math.isfinite(value)):
            continue
        path = f"{at}.{name}" if isinstance(name, str) else f"{at}[{name}]"
        if kind is float:
            raise _FlawError(f"{path} is not a finite number")
        if isinstance(value, Mapping | list | tuple):
            if depth == _DEEPEST:
                raise _FlawError(f"{path[:80]}… is nested too deeply")
            _require_storable(value, path, depth + 1)


_KINDS = {bool: "a boolean", int: "a number", float: "a number", str: "a string"}


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if value == "":
        return "an empty string"
    if isinstance(value, Mapping):
        return "an object"
    return _KINDS.get(type(value), "an array")

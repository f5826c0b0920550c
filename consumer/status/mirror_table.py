"""The status of mirrors as a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mirror.status import ATTENTION, MirrorStatus, clock


def table(found: Iterable[MirrorStatus]) -> Iterator[str]:
    """Yield a line for each mirror, with its remark below."""
    rows: list[tuple[str, ...]] = [_HEADER]
    remarks = [""]
    for status in found:
        rows.append(_cells(status))
        remarks.append("" if status.state == ATTENTION else status.reason)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row, remark in zip(rows, remarks, strict=True):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
        if remark:
            yield f"  └ {remark}"


_HEADER = ("MODEL", "OBJECT", "ROWS", "IN SALESFORCE", "VERIFIED", "DIFFERENCES", "STATE")


def _cells(status: MirrorStatus) -> tuple[str, ...]:
    verified = status.last_verified_at
    return (
        status.mirror.model,
        status.mirror.salesforce_object,
        _number(status.rows),
        _number(status.rows_in_salesforce),
        clock(verified) if verified else "never",
        f"{status.differences:,}",
        status.words,
    )


def _number(count: int | None) -> str:
    return "-" if count is None else f"{count:,}"

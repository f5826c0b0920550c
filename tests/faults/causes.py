"""Causes of errors that an operator removes: each is one incident that says how."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.faults.cases import settle
from tests.faults.stage import Product, Violated

#: A table that the recorder writes.
TABLE = "audit_auditlogentry"
DISK = "64m"
#: How long a cause goes on after its incident is open, so that all notice it.
LASTING_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class Cause:
    name: str
    key: str
    #: Words of the remedy.
    remedy: str
    apply: Callable[[Product], object]
    mend: Callable[[Product], object]
    #: Why it cannot be tried on this machine, or an empty text.
    missing: Callable[[], str] = lambda: ""


def _execute(product: Product, *statements: str) -> None:
    with product.connect() as connection:
        for statement in statements:
            connection.execute(statement)


def _ballast(product: Product) -> Path:
    return product.folder / "disk" / "ballast"


def _fill_disk(product: Product) -> None:
    """Move the table to a small disk, and fill that."""
    folder = _ballast(product).parent
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)], check=True)
    (folder / "data").mkdir()
    shutil.chown(folder / "data", "postgres")
    _execute(
        product,
        f"CREATE TABLESPACE small LOCATION '{folder / 'data'}'",
        f"ALTER TABLE {TABLE} SET TABLESPACE small",
    )
    with suppress(OSError), _ballast(product).open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def _missing_disk() -> str:
    if os.geteuid() == 0 and shutil.which("mount"):
        return ""
    return "only root can mount a small disk"


@contextmanager
def small_disk_is_removed(folder: Path) -> Iterator[None]:
    """At the end, unmount the disk if it was made."""
    try:
        yield
    finally:
        if os.path.ismount(folder / "disk"):
            subprocess.run(["umount", "--lazy", str(folder / "disk")], check=False)


def _set_handlers(product: Product, *, is_broken: bool) -> None:
    product.break_handlers(is_broken=is_broken)
    product.restart()


CAUSES = (
    Cause(
        "a column is missing",
        "database schema",
        "manage.py migrate",
        lambda p: _execute(p, f"ALTER TABLE {TABLE} RENAME COLUMN received_at TO later_name"),
        lambda p: _execute(p, f"ALTER TABLE {TABLE} RENAME COLUMN later_name TO received_at"),
    ),
    Cause(
        "the disk is full",
        "database disk",
        "disk space",
        _fill_disk,
        lambda p: _ballast(p).unlink(),
        _missing_disk,
    ),
    Cause(
        "a right is missing",
        "database rights",
        "Grant the user the right",
        lambda p: _execute(p, f"REVOKE INSERT ON {TABLE} FROM cdc"),
        lambda p: _execute(p, f"GRANT INSERT ON {TABLE} TO cdc"),
    ),
    Cause(
        "a handler module cannot be imported",
        "handler module faulty_handlers",
        "Correct the module",
        lambda p: _set_handlers(p, is_broken=True),
        lambda p: _set_handlers(p, is_broken=False),
    ),
)


def play(product: Product, cause: Cause) -> None:
    """Let the cause take effect, then mend it. Raises Violated."""
    product.ignored = set()
    product.ignored = {*product.incidents(), *product.failing()}
    cause.apply(product)
    try:
        incident = product.wait(
            lambda: product.incidents().get(cause.key),
            f"the incident of {cause.key}",
            last=product.incidents,
        )
        assert incident is not None
        if cause.remedy not in incident["remedy"]:
            raise Violated(f"the remedy does not say {cause.remedy!r}: {incident['remedy']}")
        product.wait(
            lambda: incident["summary"].split(":")[0] in "\n".join(product.alerts("open")),
            "an alert",
        )
        time.sleep(LASTING_SECONDS)
        others = product.incidents().keys() - {cause.key}
        if others:
            raise Violated(f"more incidents than one: {product.incidents()}")
        if cause.key not in product.status() and incident["summary"][:40] not in product.status():
            raise Violated(f"status does not say so: {product.status()}")
    finally:
        cause.mend(product)
    settle(product)

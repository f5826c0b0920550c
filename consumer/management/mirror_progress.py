"""Waits for runs of mirrors and shows their progress: one line that is rewritten on a terminal, and
a log line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence

import structlog
from django.core.management.base import BaseCommand
from django.utils import timezone

from consumer.management.progress import IN_LOG, REWRITE, interrupted
from handlers.reporting import queue_coverage
from handlers.sdk.registry import queue_of
from mirror import runs
from mirror.models import Mirror, MirrorRun
from mirror.status import ATTENTION, MirrorStatus, status_of
from mirror.words import result_of

log = structlog.get_logger(__name__)

State, Kind, Phase = MirrorRun.State, MirrorRun.Kind, Mirror.Phase
#: Seconds between two looks, and until the command ends when no worker is online.
EVERY, PATIENCE = 0.5, 30.0


def wait_for(command: BaseCommand, requested: Sequence[MirrorRun]) -> bool:
    """Show the progress until the runs have ended and, after loads, the mirrors are in sync; return
    whether all is done and right. Ctrl-C ends the command, not the runs."""
    watch = _Watch(command, [run.pk for run in requested])
    try:
        while watch.is_waiting():
            time.sleep(EVERY)
    except KeyboardInterrupt:
        watch.clear()
        interrupted(command, "Interrupted. The workers continue; see: manage.py mirror status")
    return watch.report()


class _Watch:
    def __init__(self, command: BaseCommand, ids: list[int]) -> None:
        self._command = command
        self._ids = ids
        self._rewrites = bool(command.stderr.isatty())
        self._shown_at = self._began_at = time.monotonic()
        self._said: set[str] = set()

    def is_waiting(self) -> bool:
        """Look once, and show what is going on."""
        found = self._look()
        pending = [(run, status) for run, status in found if not _is_over(run, status)]
        for _, status in pending:
            if status.reason and not status.progress:
                self._say_once(f"{status.mirror}: {status.reason}.")
        if pending and any(not run.is_over for run, _ in pending) and not self._has_worker():
            return time.monotonic() - self._began_at < PATIENCE
        if pending:
            self._show([_line(run, status) for run, status in pending])
        return bool(pending)

    def report(self) -> bool:
        """Write a line about each run; return whether all are done and right."""
        self.clear()
        is_right = True
        for run, status in self._look():
            right = _is_over(run, status) and run.is_right is True and status.state != ATTENTION
            is_right = is_right and right
            self._command.stdout.write(f"{run.mirror}: {_result(run, status)}")
        return is_right

    def clear(self) -> None:
        if self._rewrites:
            self._write("")

    def _look(self) -> list[tuple[MirrorRun, MirrorStatus]]:
        now = timezone.now()
        rows = MirrorRun.objects.filter(pk__in=self._ids).select_related("mirror__listener")
        return [(run, status_of(run.mirror, now)) for run in rows.order_by("id")]

    def _has_worker(self) -> bool:
        queue = queue_of(runs.TASK, "")
        if queue in queue_coverage.queues_heard(queue_coverage.seen()):
            return True
        self._say_once(
            f"No Celery worker consumes the queue {queue}, so nothing runs. Start one: "
            "celery -A cdcproject worker"
        )
        return False

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self.clear()
            self._command.stderr.write(text)

    def _show(self, lines: Sequence[str]) -> None:
        if self._rewrites:
            self._write("; ".join(lines))
        elif time.monotonic() - self._shown_at >= IN_LOG:
            self._shown_at = time.monotonic()
            for line in lines:
                log.info("progress", work="mirror", about=line)

    def _write(self, line: str) -> None:
        # `style_func` keeps Django from colouring the line as an error.
        self._command.stderr.write(f"{REWRITE}{line}", style_func=str, ending="")
        self._command.stderr.flush()


def _is_over(run: MirrorRun, status: MirrorStatus) -> bool:
    if not run.is_over:
        return False
    is_loaded = run.kind == Kind.LOAD and run.state == State.DONE and run.is_right
    return not is_loaded or status.state in (Phase.IN_SYNC, ATTENTION)


def _line(run: MirrorRun, status: MirrorStatus) -> str:
    return f"{run.mirror} {status.words}"


def _result(run: MirrorRun, status: MirrorStatus) -> str:
    kind = run.get_kind_display().lower()
    if run.state == State.FAILED:
        return f"{kind} failed: {run.error}"
    if run.state != State.DONE:
        return f"{kind} {run.get_state_display().lower()}"
    error = f". {run.error}" if run.error else ""
    return f"{kind} done, {result_of(run)}{error} → {status.words}"

"""Reports are believed by their tokens alone, and each ends one attempt, once."""

import bz2
import json
import lzma
import tracemalloc
import zlib

import pytest
from django.core.signing import Signer

from handlers.models import Delivery, DeliveryAttempt
from handlers.tracking import tokens
from handlers.tracking.reports import TASK
from handlers.tracking.tokens import InvalidToken, Reported, issue, read
from tests.attempts import all_attempts
from tests.handlers.tracking.reporting import report, say

pytestmark = [pytest.mark.anywhere, pytest.mark.usefixtures("held_locks")]

SUCCEEDED, FAILED = Reported.SUCCEEDED, Reported.FAILED


def test_a_token_is_of_one_outcome_of_one_attempt_of_one_delivery():
    assert read(issue(7, 2, FAILED)) == tokens.Token(7, 2, FAILED)
    assert issue(7, 2, FAILED) == Signer(salt="handlers.tracking.report").sign("7:2:failed")
    _value, _, signature = issue(7, 2, FAILED).rpartition(":")
    for other in ("8:2:failed", "7:1:failed", "7:2:succeeded", "7:2:skipped", "7:2", ""):
        with pytest.raises(InvalidToken):
            read(f"{other}:{signature}")


def test_a_token_of_a_former_secret_key_counts_while_that_is_a_fallback(settings, new_signers):
    token = issue(7, 2, FAILED)
    former, settings.SECRET_KEY = settings.SECRET_KEY, "x" * 50
    new_signers()
    with pytest.raises(InvalidToken):
        read(token)

    settings.SECRET_KEY_FALLBACKS = [former]
    new_signers()

    assert read(token) == read(issue(7, 2, FAILED)) == tokens.Token(7, 2, FAILED)
    assert issue(7, 2, FAILED) != token


@pytest.fixture
def new_signers():
    """Lets tokens be signed with changed settings, as in a new process."""

    def forget():
        tokens._signer.cache_clear()
        tokens._key.cache_clear()

    yield forget
    forget()


@pytest.mark.django_db(transaction=True)
def test_forged_reports_are_counted_and_change_nothing(scene, sent):
    genuine = issue(sent, 1, SUCCEEDED)
    signature = genuine.rpartition(":")[2]
    forged = [
        report(f"{sent}:1:succeeded:{'A' * len(signature)}"),
        report(f"{sent}:1:failed:{signature}"),
        report(f"{sent}:1:succeeded"),
        report(None),
        report({"a": genuine}),
        [[genuine, genuine], {}, {}],
        [],
        {},
        {"args": 7},
        "not JSON",
        "[" * 100_000,
        f'[["{genuine}"], "{"x" * 30_000}"]',
        7,
        None,
    ]
    say(scene, *forged)
    say(scene, report(genuine), content_type="application/x-python-serialize")
    say(scene, report(genuine), headers={"compression": "gzip"})

    with scene.reading() as handle:
        scene.wait_for_count("forged", len(forged) + 2, handle)

    assert scene.states == ["queued"]
    assert scene.waiting_reports() == 0


@pytest.mark.django_db(transaction=True)
def test_a_report_that_is_large_when_decompressed_is_forged(scene, sent):
    """A few kilobytes may become gigabytes, and this process may be killed for its memory."""
    genuine = json.dumps(report(issue(sent, 1, SUCCEEDED))).encode()
    bomb = genuine + b" " * 40_000_000
    kinds = {"gzip": zlib.compress, "bz2": bz2.compress, "lzma": lzma.compress}
    for kind, compress in kinds.items():
        say(scene, compress(bomb), headers={"compression": f"application/x-{kind}"})

    with scene.reading() as handle:
        tracemalloc.start()
        scene.wait_for_count("forged", 3, handle)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 10_000_000

    say(scene, lzma.compress(genuine), headers={"compression": "application/x-lzma"})
    with scene.reading() as handle:
        scene.wait_for_count("settled", 1, handle)
        say(scene, zlib.compress(genuine), headers={"compression": "application/x-gzip"})
        scene.wait_for_count("late", 1, handle)


@pytest.mark.django_db(transaction=True)
def test_a_compression_that_is_not_read_is_named(scene, sent, caplog):
    for compression in ("application/zstd", "application/x-brotli"):
        say(scene, b"compressed", headers={"compression": compression})

    with scene.reading() as handle:
        scene.wait_for_count("compressed", 2, handle)

    assert scene.counted("forged") == 0
    assert "task_compression be gzip, bzip2 or lzma" in caplog.text
    assert "zstd" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_reports_of_other_attempts_and_of_ended_ones_are_late(scene, sent):
    say(scene, report(issue(sent, 2, SUCCEEDED)), report(issue(sent + 1, 1, FAILED)))
    say(scene, report(issue(sent, 1, SUCCEEDED)))
    with scene.reading() as handle:
        scene.wait_for_count("settled", 1, handle)
        say(scene, report(issue(sent, 1, SUCCEEDED)), report(issue(sent, 1, FAILED)))
        scene.wait_for_count("late", 4, handle)

    assert Delivery.objects.get().state == "succeeded"
    assert [attempt.outcome for attempt in all_attempts()] == ["succeeded"]


@pytest.mark.django_db(transaction=True)
def test_the_worker_is_the_one_that_sent_the_report(scene, sent):
    say(scene, report(issue(sent, 1, FAILED)), headers={"task": TASK, "origin": "gen77@shop-1"})

    with scene.reading() as handle:
        scene.wait_for_count("settled", 1, handle)

    attempt = DeliveryAttempt.objects.get()
    assert attempt.worker == "shop-1, process 77"
    assert "see the log of worker shop-1, process 77 for task id" in attempt.error


@pytest.mark.django_db(transaction=True)
def test_a_worker_may_not_hide_the_rest_of_an_error(scene, sent):
    say(scene, report(issue(sent, 1, FAILED)), headers={"task": TASK, "origin": "x" * 100_000})

    with scene.reading() as handle:
        scene.wait_for_count("settled", 1, handle)

    attempt = DeliveryAttempt.objects.get()
    assert attempt.worker == "x" * 255
    assert attempt.error.startswith("The task failed; see the log of worker xxx")

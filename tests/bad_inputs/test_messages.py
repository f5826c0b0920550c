"""A running listener records or quarantines every malformed message, and continues."""

import json

import pytest

from audit.models import AuditLogEntry, Quarantined
from listeners.models import Position
from tests.bad_inputs.corpus import Becomes, change, corpus
from tests.listeners.salesforce.messages import CONNECT, accepted
from tests.listeners.salesforce.scripted import Reply, ScriptedOrg
from tests.sample_data import connection_to, make_listener
from tests.servers import wait_for

pytestmark = pytest.mark.anywhere

CORPUS = corpus()


@pytest.fixture
def org():
    with ScriptedOrg() as org:
        yield org


def answer(*messages: str) -> Reply:
    return Reply(f"[{', '.join([*messages, json.dumps(accepted(CONNECT))])}]".encode())


def good(number: int) -> str:
    message = change(f"good {number}")
    message["data"]["event"]["replayId"] = 1000 + number
    return json.dumps(message)


def test_a_bad_message_is_recorded_or_quarantined_and_the_good_one_after_it_recorded(
    processes, org
):
    connection = connection_to(org.url, {"client_id": "the-client", "client_secret": "s3cr3t"})
    make_listener(connection=connection)
    for number, bad in enumerate(CORPUS):
        org.tell(CONNECT, answer(bad.text), answer(good(number)))

    listener = processes.listener()

    seen = AuditLogEntry.objects.filter(transaction_key__startswith="good ")
    wait_for(lambda: seen.count() >= len(CORPUS), seconds=500, what="the good ones")
    assert listener.is_running
    assert "unexpected error" not in listener.output
    assert Position.objects.get().replay_id == str(1000 + len(CORPUS) - 1)
    wrong = [text for bad in CORPUS if (text := became_another(bad))]
    assert not wrong, "\n".join(wrong)


def became_another(bad) -> str:
    """Return where the message ended up, or an empty text if that is the expected place."""
    entries = AuditLogEntry.objects.filter(transaction_key=bad.name).count()
    raw = f'"name": {json.dumps(bad.name)}'
    quarantined = sum(raw in row for row in Quarantined.objects.values_list("raw", flat=True))
    found = entries, quarantined
    fine = {
        Becomes.ENTRY: [(bad.records, 0)],
        Becomes.QUARANTINED: [(0, 1)],
        Becomes.EITHER: [(bad.records, 0), (0, 1)],
        Becomes.NOTHING: [(0, 0)],
    }
    return "" if found in fine[bad.becomes] else f"{bad.name}: {found} (entries, quarantined)"

"""A company's busy day for screenshots: real processes handle changes of a simulated org, and the
rows' times are then spread over a day."""

import math
from datetime import timedelta

from django.db.models import F, Max
from django.utils import timezone

from audit.models import AuditLogEntry, Incident, Throughput
from handlers.models import Delivery, DeliveryAttempt
from listeners.models import Connection, Listener
from tests.sample_data import make_mapping
from tests.servers import wait_for
from tests.simulator.process import SimulatorProcess

#: Without deletions, which would remove records that other changes need.
CALM = {"create": 30, "update": 55, "clear": 8}
APART = timedelta(seconds=170)
CONTACTS = (
    ("Aiko", "Tanaka", "+81 6 5550 1184", "Head of IT"),
    ("Björn", "Lindqvist", "+46 8 555 01 27", "CFO"),
    ("Katarzyna", "Kowalska", "+48 22 555 01 90", "Buyer"),
    ("Liam", "O'Brien", "+353 1 555 0143", "Plant Manager"),
    ("Rosa", "García", "+34 91 555 01 66", "VP Sales"),
    ("Chidi", "Abebe", "+251 11 555 0119", "Warehouse Lead"),
    ("Greta", "Bauer", "+49 211 5550 176", "Head of IT"),
)


def listeners(org: SimulatorProcess) -> Listener:
    """Make a listener with its handlers, and a disabled one."""
    connection = Connection.objects.create(
        name="Production",
        auth="client_credentials",
        base_url=org.url,
        client_id=org.credentials["client_id"],
        client_secret=org.credentials["client_secret"],
    )
    heard = Listener.objects.create(
        name="salesforceListener",
        connection=connection,
        replay_from="earliest",
        sensitive_fields=["Contact.Birthdate"],
    )
    Listener.objects.create(
        name="employees",
        connection=connection,
        channel="/data/Employee__ChangeEvent",
        enabled=False,
    )
    make_mapping(heard, "create", "crm.sync_account", entity="Account")
    make_mapping(heard, "create", "crm.sync_contact", entity="Contact")
    make_mapping(heard, "update", "crm.sync_account", entity="Account")
    make_mapping(heard, "update", "crm.sync_contact", entity="Contact", changed_fields=["Phone"])
    make_mapping(heard, "update", "billing.note_revenue", entity="Opportunity")
    make_mapping(heard, "delete", "search.forget_record")
    make_mapping(heard, "restore", "crm.sync_account", entity="Account")
    return heard


def work(org: SimulatorProcess) -> str:
    """Write the changes of the org's users, and return the id of an account with a history."""
    org.burst(150)
    [account] = org.create(
        "Account", Name="Nordwind Logistik GmbH", Phone="+49 40 5550 110", Industry="Retail"
    )
    for first, last, phone, title in CONTACTS:
        name = {"FirstName": first, "LastName": last}
        org.create("Contact", Name=name, Phone=phone, Title=title, AccountId=account)
    org.burst(30, mix=CALM)
    org.update("Account", account, Type="Customer - Direct", AnnualRevenue=2_400_000)
    org.burst(20, mix=CALM)
    org.update("Account", account, Phone="+49 40 5550 200", Website="https://nordwind.example")
    org.delete("Account", account)
    org.undelete("Account", account)
    org.burst(12, mix=CALM)
    address = {"Street": "Am Sandtorkai 12", "City": "Hamburg", "PostalCode": "20457"}
    org.update("Account", account, BillingAddress=address, Website=None)
    return account


def wait_until_handled(count: int) -> None:
    wait_for(lambda: AuditLogEntry.objects.count() >= count, what=f"{count} recorded changes")
    wait_for(
        lambda: not Delivery.objects.filter(state__in=Delivery.UNENDED).exists(),
        what="no open delivery",
    )


def move_back_in_time() -> None:
    """Set the rows' times so that each change is nearly three minutes after the one before it."""
    last = AuditLogEntry.objects.aggregate(last=Max("id"))["last"]
    seconds = APART.total_seconds()
    for rows, entry, fields in (
        (AuditLogEntry.objects.all(), "id", ("received_at",)),
        (
            Delivery.objects.all(),
            "entry_id",
            ("created_at", "queued_at", "started_at", "finished_at"),
        ),
        (DeliveryAttempt.objects.all(), "delivery__entry_id", ("started_at", "finished_at")),
    ):
        for row in rows.annotate(entry_number=F(entry)).iterator():
            age = timedelta(seconds=seconds * (last - row.entry_number))
            for field in fields:
                if moment := getattr(row, field):
                    setattr(row, field, moment - age)
            if isinstance(row, AuditLogEntry) and "LastModifiedDate" in row.changed_data:
                row.changed_data["LastModifiedDate"] = f"{row.received_at:%Y-%m-%dT%H:%M:%S}.000Z"
                row.save(update_fields=["changed_data"])
            row.save(update_fields=fields)
    AuditLogEntry.objects.update(
        commit_timestamp=F("commit_timestamp") - (last - F("id")) * int(seconds * 1000)
    )


def a_day_of_traffic(listener: Listener) -> None:
    """Write changes per minute: few at night, many in the morning and after lunch."""
    now = timezone.now().replace(second=0, microsecond=0)
    Throughput.objects.filter(listener=listener).delete()
    rows = []
    for minutes in range(24 * 60):
        minute = now - timedelta(minutes=minutes)
        hour = minute.hour + minute.minute / 60
        busy = math.exp(-(((hour - 10) / 2.2) ** 2)) + 0.8 * math.exp(-(((hour - 15) / 2.5) ** 2))
        count = int(6 + 90 * busy + 9 * math.sin(minutes * 1.7) + 6 * math.sin(minutes * 0.31))
        rows.append(
            Throughput(
                listener=listener, minute=minute, events=max(count, 0), entries=max(count, 0)
            )
        )
    Throughput.objects.bulk_create(rows)


def incidents(listener: Listener) -> Incident:
    """Make a closed, an acknowledged and a new incident, and return the new one."""
    now = timezone.now()
    hours = [now - timedelta(hours=number) for number in range(30)]
    Incident.objects.create(
        listener=listener, kind="outage", count=1,
        summary="Nothing was received for 14 minutes: connection refused.",
        action="It reconnected, and received what was missed from the stored position.",
        window_start=hours[26], window_end=hours[25], opened_at=hours[26], last_seen_at=hours[25],
        closed_at=hours[25],
    )  # fmt: skip
    Incident.objects.create(
        listener=listener, kind="quota", count=1,
        summary="80 % of the daily events are used.",
        remedy="See Setup → Company Information for the org's allowance.",
        opened_at=hours[4], last_seen_at=hours[1], acknowledged_at=hours[3],
        acknowledged_by="maria",
    )  # fmt: skip
    return Incident.objects.create(
        listener=listener, kind="overflow", key="Opportunity", count=1,
        summary="Too many changes of Opportunity at once: Salesforce sent one overflow event and "
        "not each change.",
        action="The records of the window are compared with the audit log over REST.",
        remedy="Nothing, unless the comparison fails. A bulk load can be spread over more time.",
        window_start=hours[2], window_end=hours[2] + timedelta(minutes=6),
        opened_at=hours[2], last_seen_at=hours[2],
    )  # fmt: skip

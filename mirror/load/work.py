"""A claimed load or sweep: its mirror, its stored progress, and the clients that it reads with."""

from __future__ import annotations

from decimal import Decimal
from functools import cached_property
from typing import Any

from handlers.listener_rest_client import rest_of
from listeners.salesforce.errors import RestRefused
from listeners.salesforce.rest.client import RestClient
from mirror.apply.record_rows import prefixes_of
from mirror.load.fields import ReadFields
from mirror.load.reader import RestReader
from mirror.load.writer import Writer
from mirror.models import Mirror
from mirror.runs import RunClaim, RunFailed
from mirror.schema.carried import not_carried
from mirror.schema.columns import NotMirrorable, columns_of, model_named
from mirror.schema.compare import flaws
from mirror.schema.described import DescribedObject

#: Salesforce's codes for a query that names a field which the user may not see any more.
_ABOUT_FIELDS = ("INVALID_FIELD", "MALFORMED_QUERY", "INVALIDJOB")
#: Numbers that add up over all slices of a run, and are its report.
COUNTS = ("applied", "doubtful", "refused")


class Work:
    """The run's `cursor` is what a resumed run continues from; `save` stores it."""

    def __init__(self, claim: RunClaim) -> None:
        self.claim = claim
        self.mirror: Mirror = claim.job.mirror
        self.cursor: dict[str, Any] = dict(claim.job.cursor)
        self._counted = dict.fromkeys(COUNTS, 0)

    @cached_property
    def rest(self) -> RestClient:
        return rest_of(self.mirror.listener, number=Decimal)

    @cached_property
    def fields(self) -> ReadFields:
        """The fields that this run reads, from its cursor or from the org's description."""
        if "names" not in self.cursor:
            return self.describe()
        return ReadFields(self.mirror.salesforce_object, self.cursor["names"], self.cursor["types"])

    @cached_property
    def reader(self) -> RestReader:
        return RestReader(self.rest, self.fields)

    @cached_property
    def writer(self) -> Writer:
        """The writer of rows. Raises RunFailed for a model that cannot hold them."""
        try:
            writer = Writer(self.mirror, self.fields)
        except NotMirrorable as error:
            raise RunFailed(str(error)) from None
        writer.prefixes = prefixes_of(self.rest, writer.columns)
        return writer

    def describe(self) -> ReadFields:
        """Read the object's description. Raises RunFailed when the user may not see the object."""
        name = self.mirror.salesforce_object
        try:
            return ReadFields.of(self.rest.describe(name))
        except RestRefused as refusal:
            if refusal.status != 404:
                raise
            raise RunFailed(
                f"The org has no object {name}, or the connection's user may not see it. Correct "
                "salesforce_object, or grant the user Read and View All Records."
            ) from None

    def check_model(self) -> None:
        """Raise RunFailed if the model does not fit the object, or its changes do not arrive. The
        configuration file adds mirrors without asking the org."""
        columns = columns_of(model_named(self.mirror.model))
        name, channel = self.mirror.salesforce_object, self.mirror.listener.channel
        text = not_carried(self.rest, channel, name)
        if text := text or flaws(columns, DescribedObject.read(self.rest.describe(name))):
            raise RunFailed(text)

    def use(self, fields: ReadFields) -> None:
        """Read these fields from here on."""
        for name in ("fields", "reader", "writer"):
            self.__dict__.pop(name, None)
        self._counted = dict.fromkeys(COUNTS, 0)
        self.cursor |= {"names": list(fields.names), "types": dict(fields.types)}

    def use_other_fields(self, refusal: RestRefused) -> None:
        """Read other fields from here on, since a query was refused because of its fields. Raises
        the refusal if it has another reason."""
        if refusal.error_code not in _ABOUT_FIELDS:
            raise refusal
        fields = self.describe()
        if fields.fingerprint == self.fields.fingerprint:
            raise RunFailed(
                f"Salesforce refused the query of {self.mirror.salesforce_object}: {refusal}"
            ) from None
        self.use(fields)
        self.save()

    def save(self, *, done: int | None = None, total: int | None = None, **cursor: Any) -> None:
        """Store the progress of a step, and renew the claim."""
        self.cursor |= cursor
        counts = self.cursor.get("counts", {})
        for name in COUNTS if "writer" in self.__dict__ else ():
            number = getattr(self.writer, name)
            counts[name] = counts.get(name, 0) + number - self._counted[name]
            self._counted[name] = number
        self.cursor["counts"] = counts
        progress = {"done": done, "total": total}
        known = {name: number for name, number in progress.items() if number is not None}
        self.claim.keep(cursor=self.cursor, **known)

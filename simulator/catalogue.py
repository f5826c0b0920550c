"""The entities of the org: key prefixes, labels, and the names of their change events."""

from dataclasses import dataclass, field

CUSTOM_SUFFIX = "__c"
EXTERNAL_ID = "External_Id__c"
SYSTEM_FIELDS = (
    "OwnerId",
    "CreatedDate",
    "CreatedById",
    "LastModifiedDate",
    "LastModifiedById",
)


class UnknownEntityError(LookupError):
    """The org has no such entity: check its spelling, or add it with the control API."""


@dataclass(slots=True)
class Entity:
    """One entity; `selected` for Change Data Capture, `visible` to the integration user."""

    name: str
    prefix: str
    fields: tuple[str, ...] = ()
    auto_name: str = ""
    required: tuple[str, ...] = ()
    has_person_name: bool = False
    selected: bool = True
    visible: bool = True
    external_ids: tuple[str, ...] = ()

    @property
    def all_fields(self) -> tuple[str, ...]:
        """The entity's own fields, the system fields and the external ids, which are unique."""
        return (*self.fields, *SYSTEM_FIELDS, *self.external_ids)

    @property
    def change_event(self) -> str:
        """`AccountChangeEvent`, and `Employee__ChangeEvent` for `Employee__c`."""
        if self.name.endswith(CUSTOM_SUFFIX):
            return self.name.removesuffix("c") + "ChangeEvent"
        return self.name + "ChangeEvent"


def standard_entities() -> list[Entity]:
    """What a new org starts with; Case is there but not selected."""
    return [
        Entity(
            "Account",
            "001",
            (
                *("Name", "Type", "Industry", "Phone", "Website", "BillingAddress"),
                *("AnnualRevenue", "NumberOfEmployees", "Description", "CleanStatus"),
            ),
            required=("Name",),
            external_ids=(EXTERNAL_ID,),
        ),
        Entity(
            "Contact",
            "003",
            ("Name", "AccountId", "Title", "Email", "Phone", "MailingAddress", "Birthdate"),
            required=("LastName",),
            has_person_name=True,
            external_ids=(EXTERNAL_ID,),
        ),
        Entity(
            "Opportunity",
            "006",
            ("Name", "AccountId", "StageName", "Amount", "Probability", "CloseDate", "NextStep"),
            required=("Name", "StageName", "CloseDate"),
            external_ids=(EXTERNAL_ID,),
        ),
        Entity(
            "Employee__c",
            "a00",
            ("Name", "First_Name__c", "Last_Name__c", "Tenure__c", "Department__c", "Notes__c"),
            auto_name="EN-{:04d}",
            external_ids=(EXTERNAL_ID,),
        ),
        Entity("Case", "500", ("CaseNumber", "Subject", "Status"), selected=False),
    ]


@dataclass(slots=True)
class Catalogue:
    """Entities by name."""

    entities: dict[str, Entity] = field(
        default_factory=lambda: {entity.name: entity for entity in standard_entities()}
    )

    def get(self, name: str) -> Entity:
        """The entity, or UnknownEntityError."""
        try:
            return self.entities[name]
        except KeyError:
            raise UnknownEntityError(
                f"unknown entity {name!r}; the org has {', '.join(sorted(self.entities))}"
            ) from None

    def find(self, name: str) -> Entity | None:
        """The entity, upper and lower case being the same."""
        if name in self.entities:
            return self.entities[name]
        wanted = name.casefold()
        return next((e for e in self.entities.values() if e.name.casefold() == wanted), None)

    def define(self, name: str, prefix: str = "") -> Entity:
        """The entity, made if the org does not have it yet."""
        if name not in self.entities:
            self.entities[name] = Entity(name, prefix or self._free_prefix())
        return self.entities[name]

    def _free_prefix(self) -> str:
        taken = {entity.prefix for entity in self.entities.values()}
        return next(prefix for number in range(1000) if (prefix := f"a{number:02x}") not in taken)

    def by_change_event(self, change_event: str) -> Entity | None:
        """The entity whose change event has this name; case matters."""
        for entity in self.entities.values():
            if entity.change_event == change_event:
                return entity
        return None

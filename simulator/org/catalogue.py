"""The entities of the org: key prefixes, fields, and the names of their change events.

Every org also has the objects Organization and User, with one record each. They can be read and
queried over REST, but not written, and have no change events.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from simulator.org import field_types
from simulator.org.fields import Field
from simulator.org.formulas import Formula
from simulator.org.ids import ORG_ID, USER_ID, with_checksum
from simulator.org.records import JsonObject, Record, iso

CUSTOM_SUFFIX = "__c"
EXTERNAL_ID = "External_Id__c"
SYSTEM_FIELDS = (
    "OwnerId",
    "CreatedDate",
    "CreatedById",
    "LastModifiedDate",
    "LastModifiedById",
)


@dataclass(frozen=True, slots=True)
class RollUp:
    """A roll-up summary of a parent: a `function` of a field of its children.

    `function` is count, sum, min or max, and `reference` the children's field with the parent's id.
    """

    entity: str
    reference: str
    function: str
    field: str = ""


@dataclass(slots=True)
class Entity:
    """One entity; `selected` for Change Data Capture, `visible` to the integration user.

    own       the definitions of fields that are not standard ones
    added     the definitions of fields that were added to the entity, or changed, later
    formulas  how some of these are calculated
    rollups   how others are calculated from records that refer to this one
    hidden    fields that the integration user has no permission to see
    has_bulk  False: Bulk API 2.0 refuses to query it
    replicateable  False: the ids of its changed records cannot be asked for
    """

    name: str
    prefix: str
    fields: tuple[str, ...] = ()
    auto_name: str = ""
    required: tuple[str, ...] = ()
    has_person_name: bool = False
    selected: bool = True
    visible: bool = True
    external_ids: tuple[str, ...] = ()
    own: tuple[Field, ...] = ()
    added: tuple[Field, ...] = ()
    has_bulk: bool = True
    replicateable: bool = True
    formulas: dict[str, Formula] = field(default_factory=dict)
    rollups: dict[str, RollUp] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()

    @property
    def all_fields(self) -> tuple[str, ...]:
        """The entity's own fields, the system fields and the (unique) external ids."""
        return (*self.fields, *SYSTEM_FIELDS, *self.external_ids)

    @property
    def change_event(self) -> str:
        """The name of the change event: `AccountChangeEvent`, or `Employee__ChangeEvent` for
        `Employee__c`."""
        if self.name.endswith(CUSTOM_SUFFIX):
            return self.name.removesuffix("c") + "ChangeEvent"
        return self.name + "ChangeEvent"


def standard_entities() -> list[Entity]:
    """Return the entities of a new org; Case and Field_Types__c are not selected."""
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
        Entity(
            field_types.FIELD_TYPES,
            "a0T",
            tuple(field.name for field in field_types.FIELDS),
            selected=False,
            external_ids=(EXTERNAL_ID,),
            own=field_types.FIELDS,
            formulas={
                field.name: Formula(field.formula, field.type)
                for field in field_types.FIELDS
                if field.formula
            },
        ),
    ]


PROFILE_ID = with_checksum("00e5g000001NbZs")
ORGANIZATION: JsonObject = {
    "Name": "Simulator",
    "InstanceName": "SIM1",
    "IsSandbox": False,
    "TrialExpirationDate": None,
    "NamespacePrefix": None,
    "OrganizationType": "Developer Edition",
    "LanguageLocaleKey": "en_US",
    "TimeZoneSidKey": "America/Los_Angeles",
}
USER: JsonObject = {
    "Name": {"FirstName": "Integration", "LastName": "User"},
    "Username": "",
    "Email": "",
    "Alias": "integ",
    "IsActive": True,
    "UserType": "Standard",
    "ProfileId": PROFILE_ID,
    "LanguageLocaleKey": "en_US",
    "LocaleSidKey": "en_US",
    "TimeZoneSidKey": "America/Los_Angeles",
}
SETUP: Mapping[str, Entity] = {
    "Organization": Entity("Organization", "00D", tuple(ORGANIZATION), selected=False),
    "User": Entity("User", "005", tuple(USER), has_person_name=True, selected=False),
}


def setup_records(username: str, now: int) -> dict[str, dict[str, Record]]:
    """Return the one record of each setup object, by object and id."""
    stamp = {
        "CreatedDate": iso(now),
        "CreatedById": USER_ID,
        "LastModifiedDate": iso(now),
        "LastModifiedById": USER_ID,
    }
    user = {**USER, "Username": username, "Email": username, **stamp}
    return {
        "Organization": {ORG_ID: Record("Organization", ORG_ID, {**ORGANIZATION, **stamp}, now)},
        "User": {USER_ID: Record("User", USER_ID, user, now)},
    }


@dataclass(slots=True)
class Catalogue:
    """Entities by name."""

    entities: dict[str, Entity] = field(
        default_factory=lambda: {entity.name: entity for entity in standard_entities()}
    )

    def get(self, name: str) -> Entity:
        """Return the entity. Raises LookupError."""
        try:
            return self.entities[name]
        except KeyError:
            raise LookupError(
                f"unknown entity {name!r}; the org has {', '.join(sorted(self.entities))}"
            ) from None

    def find(self, name: str) -> Entity | None:
        """Return the entity or setup object of this name, ignoring case."""
        wanted = name.casefold()
        known = (*self.entities.values(), *SETUP.values())
        return next((entity for entity in known if entity.name.casefold() == wanted), None)

    def define(self, name: str, prefix: str = "") -> Entity:
        """Return the entity, after adding it if it is new."""
        if name not in self.entities:
            self.entities[name] = Entity(name, prefix or self._free_prefix())
        return self.entities[name]

    def _free_prefix(self) -> str:
        taken = {entity.prefix for entity in self.entities.values()}
        return next(prefix for number in range(1000) if (prefix := f"a{number:02x}") not in taken)

    def by_change_event(self, change_event: str) -> Entity | None:
        """Return the entity whose change event has this name (case-sensitive)."""
        return next((e for e in self.entities.values() if e.change_event == change_event), None)

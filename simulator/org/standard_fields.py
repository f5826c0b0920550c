"""The definitions of fields that the catalogue only names, and of the parts of compound fields."""

from collections.abc import Mapping
from dataclasses import replace

from simulator.org.fields import Field

PERSON_NAME = ("Salutation", "FirstName", "MiddleName", "LastName", "Suffix")
ADDRESS_PARTS = (
    *("Street", "City", "State", "PostalCode", "Country"),
    *("Latitude", "Longitude", "GeocodeAccuracy"),
)
LOCATION_PARTS = ("Latitude", "Longitude")
ACCURACIES = (
    *("Address", "NearAddress", "Block", "Street", "ExtendedZip", "Zip"),
    *("Neighborhood", "City", "County", "State", "Unknown"),
)
USER_OR_GROUP = ("Group", "User")


def _stamp(name: str, kind: str = "datetime") -> Field:
    if kind == "datetime":
        return Field(name, kind, is_required=True, is_writable=False)
    user = name.removesuffix("Id")
    return Field(
        name, kind, is_required=True, is_writable=False, refers_to=("User",), relationship=user
    )


#: By name, for every object that has no own definition of the field.
BY_NAME: Mapping[str, Field] = {
    field.name: field
    for field in (
        Field("Id", "id", "Record ID", is_writable=False),
        Field("IsDeleted", "boolean", "Deleted", is_writable=False),
        *(_stamp(name) for name in ("CreatedDate", "LastModifiedDate", "SystemModstamp")),
        *(_stamp(name, "reference") for name in ("CreatedById", "LastModifiedById")),
        Field(
            "OwnerId", "reference", is_required=True, refers_to=USER_OR_GROUP, relationship="Owner"
        ),
        Field("Name", length=80, is_name=True),
        Field("Type", "picklist", values=("Prospect", "Customer", "Partner", "Other")),
        Field(
            "Industry",
            "picklist",
            values=("Agriculture", "Banking", "Energy", "Finance", "Technology", "Other"),
            inactive=("Apparel",),
        ),
        Field("Phone", "phone"),
        Field("Website", "url"),
        Field("AnnualRevenue", "currency"),
        Field("NumberOfEmployees", "int", digits=8),
        Field("Description", "textarea"),
        Field(
            "CleanStatus",
            "picklist",
            length=40,
            is_restricted=True,
            values=("Matched", "Different", "Acknowledged", "NotFound", "Inactive", "Pending"),
        ),
        Field(
            "AccountId",
            "reference",
            refers_to=("Account",),
            relationship="Account",
            cascades=True,
        ),
        Field("Title", length=128),
        Field("Email", "email"),
        Field("Birthdate", "date"),
        Field(
            "StageName",
            "picklist",
            values=("Prospecting", "Qualification", "Negotiation", "Closed Won", "Closed Lost"),
        ),
        Field("Amount", "currency", scale=2),
        Field("Probability", "percent", precision=3),
        Field("CloseDate", "date"),
        Field("NextStep"),
        Field("Subject"),
        Field("Status", "picklist", values=("New", "Working", "Escalated", "Closed")),
        Field("CaseNumber", length=30, is_auto_number=True, is_writable=False, is_name=True),
        Field("Tenure__c", "double", scale=2),
        Field("Notes__c", "textarea", length=131_072),
        *(Field(name, "boolean") for name in ("IsActive", "IsSandbox")),
        Field("TrialExpirationDate", "datetime"),
        Field("ProfileId", "reference", refers_to=("Profile",), relationship="Profile"),
    )
}
OF_OBJECT: Mapping[tuple[str, str], Field] = {
    ("Account", "Name"): Field("Name", length=255, is_name=True),
    ("Contact", "Name"): Field("Name", length=121, is_name=True, is_writable=False),
    ("User", "Name"): Field("Name", length=121, is_name=True, is_writable=False),
    ("Opportunity", "Name"): Field("Name", length=120, is_name=True),
    ("Account", "OwnerId"): replace(BY_NAME["OwnerId"], refers_to=("User",)),
    ("Contact", "OwnerId"): replace(BY_NAME["OwnerId"], refers_to=("User",)),
    ("Opportunity", "OwnerId"): replace(BY_NAME["OwnerId"], refers_to=("User",)),
}
PARTS: Mapping[str, Field] = {
    field.name: field
    for field in (
        Field("Street", "textarea", length=255),
        Field("City", length=40),
        Field("State", length=80),
        Field("PostalCode", length=20),
        Field("Country", length=80),
        Field("Latitude", "double", scale=15),
        Field("Longitude", "double", scale=15),
        Field("GeocodeAccuracy", "picklist", length=40, is_restricted=True, values=ACCURACIES),
        Field("Salutation", "picklist", length=40, values=("Mr.", "Ms.", "Mrs.", "Dr.", "Prof.")),
        Field("FirstName", length=40),
        Field("MiddleName", length=40),
        Field("LastName", length=80),
        Field("Suffix", length=40),
    )
}


def definition(entity: str, name: str) -> Field:
    """Return the definition of a field of this name."""
    if known := OF_OBJECT.get((entity, name)) or BY_NAME.get(name):
        return known
    if name.endswith("Address"):
        return Field(name, "address", is_writable=False)
    if name.endswith("Id"):
        bare = name.removesuffix("Id")
        return Field(name, "reference", refers_to=(bare,), relationship=bare)
    return Field(name)


def parts(field: Field, *, is_person: bool = False) -> list[Field]:
    """Return the component fields of a compound one."""
    if field.name == "Name":
        named = [(name, name) for name in PERSON_NAME] if is_person else []
    elif field.type in ("address", "location"):
        children = ADDRESS_PARTS if field.type == "address" else LOCATION_PARTS
        named = [(part_name(field.name, child), child) for child in children]
    else:
        named = []
    return [replace(PARTS[key], name=name, compound=field.name, key=key) for name, key in named]


def part_name(compound: str, child: str) -> str:
    """Return the name of a component: `BillingCity` of BillingAddress, `Site__City__s` of
    Site__c."""
    if compound.endswith("__c"):
        return f"{compound.removesuffix('c')}{child}__s"
    return compound.removesuffix("Address") + child

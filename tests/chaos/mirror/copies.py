"""The mirrored tables, described independently: nothing here is taken from the product."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

TEXT, NUMBER, TIME, DATE = "text", "number", "time", "date"


@dataclass(frozen=True)
class Copy:
    """An object and its table. `columns` are the column and the kind of value by API name.

    share     the object's part of all records
    tracked   fields whose values grow with each write: no row may show an earlier one again
    clearable those of them that are cleared from time to time
    long      the text that is sent as a diff
    """

    entity: str
    model: str
    table: str
    share: float
    columns: Mapping[str, tuple[str, str]]
    tracked: tuple[str, ...]
    clearable: tuple[str, ...]
    long: str = ""


def _texts(**columns: str) -> dict[str, tuple[str, str]]:
    return {name: (column, TEXT) for name, column in columns.items()}


_SYSTEM = {
    "LastModifiedDate": ("version", TIME),
    "CreatedDate": ("created_date", TIME),
    "OwnerId": ("owner_id", TEXT),
}
ACCOUNT = Copy(
    "Account",
    "crm.Account",
    "crm_account",
    0.3,
    {
        **_SYSTEM,
        **_texts(
            Name="name",
            Type="type",
            Industry="industry",
            Phone="phone",
            Website="website",
            BillingStreet="billing_street",
            BillingCity="billing_city",
            BillingState="billing_state",
            BillingPostalCode="billing_postal_code",
            BillingCountry="billing_country",
            BillingGeocodeAccuracy="billing_geocode_accuracy",
            Description="description",
            CleanStatus="clean_status",
            CreatedById="created_by_id",
            LastModifiedById="last_modified_by_id",
            External_Id__c="external_id",
        ),
        "BillingLatitude": ("billing_latitude", NUMBER),
        "BillingLongitude": ("billing_longitude", NUMBER),
        "AnnualRevenue": ("annual_revenue", NUMBER),
        "NumberOfEmployees": ("number_of_employees", NUMBER),
    },
    (
        *("Name", "Phone", "Website", "Industry", "NumberOfEmployees", "AnnualRevenue"),
        *("Description", "BillingStreet", "BillingCity"),
    ),
    ("Phone", "Website", "AnnualRevenue", "BillingCity"),
    "Description",
)
CONTACT = Copy(
    "Contact",
    "crm.Contact",
    "crm_contact",
    0.6,
    {
        **_SYSTEM,
        **_texts(
            Name="name",
            Salutation="salutation",
            FirstName="first_name",
            MiddleName="middle_name",
            LastName="last_name",
            Suffix="suffix",
            AccountId="account_id",
            Title="title",
            Email="email",
            Phone="phone",
            MailingStreet="mailing_street",
            MailingCity="mailing_city",
            MailingPostalCode="mailing_postal_code",
            External_Id__c="external_id",
        ),
        "Birthdate": ("birthdate", DATE),
    },
    ("FirstName", "LastName", "Title", "Email", "Phone", "MailingStreet", "MailingCity"),
    ("Title", "Phone", "MailingCity"),
)
EMPLOYEE = Copy(
    "Employee__c",
    "crm.Employee",
    "crm_employee",
    0.1,
    {
        "LastModifiedDate": ("version", TIME),
        **_texts(
            Name="name",
            First_Name__c="first_name",
            Last_Name__c="last_name",
            Department__c="department",
            Notes__c="notes",
        ),
        "Tenure__c": ("years_here", NUMBER),
    },
    ("First_Name__c", "Last_Name__c", "Department__c", "Notes__c"),
    ("Department__c",),
    "Notes__c",
)
COPIES = (ACCOUNT, CONTACT, EMPLOYEE)
BY_ENTITY = {copy.entity: copy for copy in COPIES}
#: Compound fields, which events carry as objects, with the tracked parts.
COMPOUNDS: Mapping[str, tuple[str, str]] = {
    "BillingStreet": ("BillingAddress", "Street"),
    "BillingCity": ("BillingAddress", "City"),
    "MailingStreet": ("MailingAddress", "Street"),
    "MailingCity": ("MailingAddress", "City"),
    "FirstName": ("Name", "FirstName"),
    "LastName": ("Name", "LastName"),
}

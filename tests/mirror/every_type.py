"""The description of an object with a field of every type, as Salesforce documents it."""

from typing import Any


def a_field(name: str, kind: str, label: str = "", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "type": kind,
        "label": label or name.removesuffix("__c").replace("_", " "),
        "length": 0,
        "precision": 0,
        "scale": 0,
        "calculated": False,
        "externalId": False,
        "nameField": False,
        "referenceTo": [],
        "polymorphicForeignKey": False,
        "compoundFieldName": None,
        **more,
    }


def an_object(name: str, fields: list[dict[str, Any]], label: str = "") -> dict[str, Any]:
    return {"name": name, "label": label or name, "queryable": True, "fields": fields}


def a_text(name: str, length: int = 255, **more: Any) -> dict[str, Any]:
    return a_field(name, "string", length=length, **more)


EVERY_TYPE = an_object(
    "Every_Type__c",
    [
        a_field("Id", "id", "Record ID", length=18),
        a_field("IsDeleted", "boolean"),
        a_text("Name", 80, nameField=True),
        a_field("OwnerId", "reference", length=18, referenceTo=["Group", "User"]),
        a_field(
            "WhoId",
            "reference",
            "Name ID",
            length=18,
            referenceTo=["Contact", "Lead"],
            polymorphicForeignKey=True,
        ),
        a_field("Parent__c", "reference", length=18, referenceTo=["Account"]),
        a_text("External_Id__c", externalId=True),
        a_text("Class__c"),
        a_text("Raw__c"),
        a_text("Region"),
        a_text("Region__c"),
        a_text("Full_Clean__c"),
        a_text("Pk__c"),
        a_text(f"namespace__{'Very_Long' * 6}_Name__c"),
        a_text("ns__Region__c"),
        a_text("NsRegion__c"),
        a_text("Quoted__c", label='The "best" \\ of\tthem', inlineHelpText="Ask\nher."),
        a_text("Umlaut__c", label='Größe in m² – it\'s "big"'),
        a_text("Wide__c", label="株式会社の名前" * 6),
        a_field("Number__c", "double", precision=18, scale=2),
        a_field("Weird__c", "double", precision=-1, scale=-1),
        a_field("Price__c", "currency", precision=18, scale=2),
        a_field("Share__c", "percent", precision=5, scale=2),
        a_field("Count__c", "int"),
        a_field("Big__c", "long"),
        a_field("Flag__c", "boolean"),
        a_field("Day__c", "date"),
        a_field("Moment__c", "datetime"),
        a_field("Hour__c", "time"),
        a_field("Mail__c", "email", length=80),
        a_field("Phone__c", "phone", length=40),
        a_field("Link__c", "url", length=255),
        a_field("Choice__c", "picklist", length=255),
        a_field("Choices__c", "multipicklist", length=4099),
        a_field("Either__c", "combobox", length=255),
        a_field("Long__c", "textarea", length=131072),
        a_field("Secret__c", "encryptedstring", length=175),
        a_field("Old__c", "anyType"),
        a_field("File__c", "base64"),
        a_field("Metadata", "complexvalue"),
        a_field("BillingAddress", "address"),
        a_text("BillingCity", 40, compoundFieldName="BillingAddress"),
        a_field("Site__c", "location"),
        a_field("Site__Latitude__s", "double", precision=18, scale=15),
        a_field("Site__Longitude__s", "double", precision=18, scale=15),
        a_field(
            "Formula__c", "string", length=1300, calculated=True, calculatedFormula="Name & '!'"
        ),
        a_field("Rollup__c", "double", calculated=True, calculatedFormula=None),
        a_field("CreatedDate", "datetime"),
        a_field("LastModifiedDate", "datetime"),
        a_field("SystemModstamp", "datetime"),
        a_field("Mystery__c", "something_new"),
    ],
    "Every Type",
)

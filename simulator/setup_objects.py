"""The objects that every org has beside its data: the organization itself and its user.

They can be read and queried over REST. They cannot be written here, and have no change events.
"""

from collections.abc import Mapping

from simulator.catalogue import Entity
from simulator.ids import with_checksum
from simulator.records import JsonObject, Record, iso

PROFILE_ID = with_checksum("00e5g000001NbZs")
ORGANIZATION = "Organization"
USER = "User"


class SetupObjects:
    """Organization and User, with one record each."""

    def __init__(self, *, org_id: str, user_id: str, now: int) -> None:
        self._stamp: JsonObject = {
            "CreatedDate": iso(now),
            "CreatedById": user_id,
            "LastModifiedDate": iso(now),
            "LastModifiedById": user_id,
        }
        self._now = now
        self.entities: dict[str, Entity] = {}
        self.records: dict[str, dict[str, Record]] = {}
        self._add(ORGANIZATION, "00D", org_id, _organization())
        self._add(USER, "005", user_id, _user("integration@simulator.example"))

    def _add(self, name: str, prefix: str, record_id: str, fields: JsonObject) -> None:
        has_person_name = isinstance(fields["Name"], dict)
        self.entities[name] = Entity(
            name, prefix, tuple(fields), selected=False, has_person_name=has_person_name
        )
        record = Record(name, record_id, {**fields, **self._stamp}, self._now)
        self.records[name] = {record_id: record}

    def find(self, name: str) -> Entity | None:
        """The object, upper and lower case being the same."""
        wanted = name.casefold()
        return next((one for one in self.entities.values() if one.name.casefold() == wanted), None)

    def set_username(self, username: str) -> None:
        """Give the user the name that it logs in with."""
        for record in self.records[USER].values():
            record.fields |= _user(username)

    def records_of(self, entity: Entity) -> Mapping[str, Record]:
        """The records of one of these objects; empty for another."""
        return self.records.get(entity.name, {})


def _organization() -> JsonObject:
    return {
        "Name": "Simulator",
        "InstanceName": "SIM1",
        "IsSandbox": False,
        "TrialExpirationDate": None,
        "NamespacePrefix": None,
        "OrganizationType": "Developer Edition",
        "LanguageLocaleKey": "en_US",
        "TimeZoneSidKey": "America/Los_Angeles",
    }


def _user(username: str) -> JsonObject:
    return {
        "Name": {"FirstName": "Integration", "LastName": "User"},
        "Username": username,
        "Email": username,
        "Alias": "integ",
        "IsActive": True,
        "UserType": "Standard",
        "ProfileId": PROFILE_ID,
        "LanguageLocaleKey": "en_US",
        "LocaleSidKey": "en_US",
        "TimeZoneSidKey": "America/Los_Angeles",
    }

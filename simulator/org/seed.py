"""Records that are calculated from their number, so that a million of them take no memory."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from simulator.org.catalogue import SYSTEM_FIELDS, Entity
from simulator.org.description import all_definitions
from simulator.org.fields import Field
from simulator.org.ids import BASE62, CHECKSUM_ALPHABET, POD, USER_ID, with_checksum
from simulator.org.records import JsonObject, Record, iso

#: Higher ids are those of records that are created later.
MAX_COUNT = 62**4 - 1
SPAN_MS = 3 * 365 * 86_400_000
AGE_MS = 86_400_000
#: Every record was last modified this long after its creation.
MODIFIED_AFTER_MS = 3_600_000
NOT_STORED = ("Id", "IsDeleted", "SystemModstamp", "MasterRecordId")
MASK = 2**64 - 1
WORDS = (
    *("alpine", "blue", "cedar", "delta", "ember", "fjord", "granite", "harbor", "indigo"),
    *("juniper", "kestrel", "lumen", "meadow", "north", "ocean", "pine", "quartz", "river"),
)
CITIES = ("Graz", "Kyoto", "Lyon", "Porto", "Ghent", "Turku", "Bergen", "Zürich")
PAIRS = [first + second for first in BASE62 for second in BASE62]
PAIR_NUMBERS = {pair: number for number, pair in enumerate(PAIRS)}
PAIR_CASES = [sum(char.isupper() << bit for bit, char in enumerate(pair)) for pair in PAIRS]
Value = Callable[[int, int], object]


class Seed:
    """A number of records of an entity with its present fields, in order of their creation.

    `parents` are the seeds of the objects that reference fields can point to.
    """

    def __init__(
        self, entity: Entity, count: int, *, seed: int, now: int, parents: Mapping[str, "Seed"]
    ) -> None:
        if not 0 < count <= MAX_COUNT:
            raise ValueError(f"the number of records must be from 1 to {MAX_COUNT:,}, not {count}")
        self.entity = entity.name
        self.count = count
        self.indexes = range(count)
        self.conversions: dict[str, Callable[[object], object]] = {}
        self.defaults: dict[str, object] = {}
        self._seed = seed
        self._first_at = (now - AGE_MS - SPAN_MS) // 1000 * 1000
        self._start = f"{entity.prefix}{POD}00000"
        self._cases = with_checksum(self._start + "0000")[15:17]
        self._fields = list(_generators(entity, parents))
        #: The seed of the parents by reference field; record i has parent i modulo their count.
        self.parents = {
            field.name: parents[field.refers_to[0]]
            for field in all_definitions(entity).values()
            if field.refers_to and field.refers_to[0] in parents and not field.is_calculated
        }

    def record_id(self, index: int) -> str:
        """Return the id of a record: `001` + POD + its number."""
        high, low = divmod(index + 1, 62 * 62)
        case = CHECKSUM_ALPHABET[PAIR_CASES[high] << 1 | PAIR_CASES[low] << 3]
        return f"{self._start}{PAIRS[high]}{PAIRS[low]}{self._cases}{case}"

    def index(self, record_id: str) -> int | None:
        """Return the index of the record with this id, or None if there is none."""
        high, low = PAIR_NUMBERS.get(record_id[11:13]), PAIR_NUMBERS.get(record_id[13:15])
        if high is None or low is None:
            return None
        index = high * 62 * 62 + low - 1
        is_known = 0 <= index < self.count and self.record_id(index) == record_id
        return index if is_known else None

    def created_at(self, index: int) -> int:
        """Return the time of creation, which never falls with the index."""
        return self._first_at + index * SPAN_MS // self.count // 1000 * 1000

    def modified_at(self, index: int) -> int:
        return self.created_at(index) + MODIFIED_AFTER_MS

    def first_created(self, at: int) -> int:
        """Return the index of the first record created at or after this time."""
        return bisect_left(self.indexes, at, key=self.created_at)

    def first_modified(self, at: int) -> int:
        """Return the index of the first record modified at or after this time."""
        return self.first_created(at - MODIFIED_AFTER_MS)

    def record(self, index: int) -> Record:
        """Calculate a record."""
        created_at = self.created_at(index)
        noise = _mixed(self._seed * 0x9E3779B97F4A7C15 + index)
        fields: JsonObject = {}
        for place, (name, value) in enumerate(self._fields):
            turned = 7 * place % 64
            found = value(index, (noise >> turned | noise << (64 - turned)) & MASK)
            if found is not None:
                fields[name] = found
        stamp = iso(created_at + MODIFIED_AFTER_MS)
        fields["CreatedDate"], fields["LastModifiedDate"] = iso(created_at), stamp
        for name, convert in self.conversions.items():
            if name in fields and (value_now := convert(fields.pop(name))) is not None:
                fields[name] = value_now
        for name, default in self.defaults.items():
            fields.setdefault(name, default)
        return Record(self.entity, self.record_id(index), fields, created_at + MODIFIED_AFTER_MS)

    def convert(self, name: str, function: Callable[[object], object]) -> None:
        """Convert the values of a field of every record; None is an empty field."""
        if name in self.defaults and (default := function(self.defaults.pop(name))) is not None:
            self.defaults[name] = default
        before = self.conversions.get(name)
        self.conversions[name] = (lambda value: function(before(value))) if before else function

    def children(self, reference: str, parent_id: str) -> Iterator[int]:
        """Yield the indexes of the records whose reference field has this id."""
        parent = self.parents.get(reference)
        first = parent.index(parent_id) if parent else None
        if parent and first is not None:
            yield from range(first, self.count, parent.count)


def _mixed(number: int) -> int:
    """Return 64 bits that look random (splitmix64)."""
    mixed = number & MASK
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & MASK
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & MASK
    return mixed ^ mixed >> 31


def _generators(entity: Entity, parents: Mapping[str, Seed]) -> Iterator[tuple[str, Value]]:
    for name in ("OwnerId", "CreatedById", "LastModifiedById"):
        yield name, lambda _index, _noise: USER_ID
    for field in all_definitions(entity).values():
        is_own = field.name not in (*SYSTEM_FIELDS, *NOT_STORED, *entity.external_ids)
        is_kept = not (field.is_calculated or field.compound or field.is_external_id)
        if is_own and is_kept and (value := _generator(entity, field, parents)):
            yield field.name, value


@dataclass(frozen=True, slots=True)
class _Sometimes:
    """A value that is empty in every eighth record."""

    value: Value

    def __call__(self, index: int, noise: int) -> object:
        return self.value(index, noise >> 3) if noise & 7 else None


def _generator(entity: Entity, field: Field, parents: Mapping[str, Seed]) -> Value | None:
    """Return the function that calculates a field's value, or None for a field that is empty."""
    if field.is_name and entity.has_person_name:
        return lambda index, noise: {
            "FirstName": WORDS[noise % 18].title(),
            "LastName": f"{WORDS[noise // 18 % 18].title()} {index}",
        }
    if field.is_name or field.is_auto_number:
        return lambda index, _noise: f"{entity.name.removesuffix('__c')} {index:07d}"
    if field.type == "reference":
        parent = parents.get(field.refers_to[0]) if field.refers_to else None
        return (lambda index, _noise: parent.record_id(index % parent.count)) if parent else None
    value = _picklist(field) if field.values else VALUES.get(field.type)
    is_always = field.is_required or field.type == "boolean" or field.name in entity.required
    return value if value is None or is_always else _Sometimes(value)


def _picklist(field: Field) -> Value:
    values, number = field.values, len(field.values)
    if field.type == "multipicklist":
        return lambda _index, noise: ";".join(values[: 1 + noise % number])
    return lambda _index, noise: values[noise % number]


def _text(_index: int, noise: int) -> str:
    return f"{WORDS[noise % 18]} {WORDS[noise // 18 % 18]} {noise % 997}"


def _address(_index: int, noise: int) -> JsonObject:
    return {
        "Street": f"{WORDS[noise % 18].title()} Street {noise % 199}",
        "City": CITIES[noise % 8],
        "PostalCode": f"{noise % 90_000 + 10_000}",
        "Country": "Austria",
    }


FIRST_DAY = date(1970, 1, 1)
FIRST_MOMENT = datetime(2015, 1, 1, tzinfo=UTC)
DOUBLE: Value = lambda _index, noise: noise % 100_000_000 / 100  # noqa: E731
VALUES: Mapping[str, Value] = {
    **dict.fromkeys(("string", "textarea", "combobox", "encryptedstring"), _text),
    "picklist": _text,
    "boolean": lambda _index, noise: bool(noise & 1),
    "int": lambda _index, noise: noise % 100_000,
    "long": lambda _index, noise: noise % 2**52,
    "double": DOUBLE,
    "currency": DOUBLE,
    "percent": lambda _index, noise: noise % 10_000 / 100,
    "date": lambda _index, noise: (FIRST_DAY + timedelta(days=noise % 20_000)).isoformat(),
    "datetime": lambda _index, noise: iso(
        int(FIRST_MOMENT.timestamp() * 1000) + noise % 300_000_000 * 1000
    ),
    "time": lambda _index, noise: f"{noise % 24:02d}:{noise % 60:02d}:00.000Z",
    "email": lambda index, noise: f"{WORDS[noise % 18]}.{index}@example.com",
    "phone": lambda _index, noise: f"+43 316 {noise % 1_000_000:06d}",
    "url": lambda index, noise: f"https://{WORDS[noise % 18]}-{index}.example.com",
    "address": _address,
    "location": lambda _index, noise: {
        "Latitude": noise % 18_000 / 100 - 90,
        "Longitude": noise % 36_000 / 100 - 180,
    },
}

"""Names, addresses and amounts for the traffic generator."""

import random
from datetime import date, timedelta

from simulator.org.records import JsonObject

SALUTATIONS = ("Mr.", "Ms.", "Mrs.", "Dr.", "Prof.")
FIRST_NAMES = (
    *("Aiko", "Amara", "Björn", "Camila", "Chidi", "Daniel", "Elena", "Farah", "Greta", "Hiro"),
    *("Ingrid", "Jamal", "Katarzyna", "Liam", "Mei", "Nadia", "Oluwaseun", "Priya", "Quentin"),
    *("Rosa", "Søren", "Tomás", "Uma", "Viktor", "Wanjiru", "Xavier", "Yusuf", "Zoë"),
)
LAST_NAMES = (
    *("Abebe", "Bauer", "Castillo", "Dubois", "Eriksson", "Fernandes", "García", "Haddad", "Ito"),
    *("Jansen", "Kowalska", "Lindqvist", "Müller", "Nguyen", "O'Brien", "Patel", "Quispe"),
    *("Rossi", "Santos", "Tanaka", "Ueda", "Varga", "Williams", "Yildiz", "Zhang"),
)
COMPANY_HEADS = ("Blue Harbor", "Cedar & Pine", "Fjord", "Granite", "Lumen", "Meridian", "Orchard")
COMPANY_TAILS = ("Analytics", "Foods", "Logistics", "Medical", "Robotics", "Textiles", "Works")
COMPANY_FORMS = ("AG", "GmbH", "Inc.", "LLC", "Ltd", "S.A.", "Oy")
INDUSTRIES = ("Agriculture", "Banking", "Energy", "Healthcare", "Manufacturing", "Retail")
ACCOUNT_TYPES = ("Prospect", "Customer - Direct", "Customer - Channel", "Channel Partner")
STREETS = ("1 Market St.", "Königsallee 27", "12 Rue de la Paix", "45 King St.", "Via Roma 8")
CITIES = (
    ("San Francisco", "CA", "94105", "United States", "US", 37.79, -122.39),
    ("Düsseldorf", "NW", "40212", "Germany", "DE", 51.22, 6.78),
    ("Paris", None, "75002", "France", "FR", 48.87, 2.33),
    ("Toronto", "ON", "M5H 1J9", "Canada", "CA", 43.65, -79.38),
    ("Osaka", None, "530-0001", "Japan", "JP", 34.7, 135.49),
)
TITLES = ("CFO", "Buyer", "Head of IT", "Plant Manager", "VP Sales", "Warehouse Lead")
DEPARTMENTS = ("Finance", "Engineering", "People", "Sales", "Support")
STAGES = (
    ("Prospecting", 10),
    ("Qualification", 25),
    ("Proposal/Price Quote", 60),
    ("Negotiation/Review", 80),
    ("Closed Won", 100),
    ("Closed Lost", 0),
)
NOTES = (
    "Asked for a quote with a three-year term.",
    "Prefers to be called in the morning.\nSpeaks German and English.",
    "Renewal is at risk: the champion left.",
    "Wants a demo of the new portal — invite the security team.",
)
CLEARABLE = {
    "Account": ("Phone", "Website", "Description", "Industry"),
    "Contact": ("Title", "Phone", "Email"),
    "Opportunity": ("NextStep", "Amount"),
    "Employee__c": ("Notes__c", "Department__c"),
}


def new_record(entity: str, rng: random.Random, account_id: str | None) -> JsonObject:
    """Return the fields of a new record, of this account if it is a Contact or Opportunity."""
    match entity:
        case "Account":
            return _account(rng)
        case "Contact":
            return {**_contact(rng), "AccountId": account_id}
        case "Opportunity":
            return {**_opportunity(rng), "AccountId": account_id}
        case _:
            return _employee(rng)


def edit(entity: str, rng: random.Random) -> JsonObject:
    """Return an edit of one record by a user."""
    match entity:
        case "Account":
            return rng.choice(
                (
                    {"Phone": _phone(rng)},
                    {"Description": rng.choice(NOTES), "Industry": rng.choice(INDUSTRIES)},
                    {"BillingAddress": _address(rng)},
                    {"AnnualRevenue": _amount(rng), "NumberOfEmployees": rng.randint(3, 9000)},
                )
            )
        case "Contact":
            return rng.choice(
                (
                    {"Name": {"LastName": rng.choice(LAST_NAMES)}},
                    {"Title": rng.choice(TITLES), "Phone": _phone(rng)},
                    {"MailingAddress": _address(rng)},
                )
            )
        case "Opportunity":
            stage, probability = rng.choice(STAGES)
            return {"StageName": stage, "Probability": probability, "Amount": _amount(rng)}
        case _:
            return {"Tenure__c": rng.randint(0, 40), "Notes__c": rng.choice(NOTES)}


def campaign(entity: str, rng: random.Random) -> JsonObject:
    """Return a value that no record has yet, as a mass update writes it."""
    name = f"Campaign {rng.getrandbits(40):010x}"
    fields = {"Account": "Description", "Contact": "Title", "Opportunity": "NextStep"}
    return {fields.get(entity, "Notes__c"): name}


def _account(rng: random.Random) -> JsonObject:
    head, tail = rng.choice(COMPANY_HEADS), rng.choice(COMPANY_TAILS)
    slug = f"{head}-{tail}".lower().replace(" & ", "-").replace(" ", "-")
    return {
        "Name": f"{head} {tail} {rng.choice(COMPANY_FORMS)}",
        "Type": rng.choice(ACCOUNT_TYPES),
        "Industry": rng.choice(INDUSTRIES),
        "Phone": _phone(rng),
        "Website": f"https://{slug}.example",
        "BillingAddress": _address(rng),
        "AnnualRevenue": _amount(rng),
        "NumberOfEmployees": rng.randint(3, 9000),
        "CleanStatus": "Pending",
    }


def _contact(rng: random.Random) -> JsonObject:
    first, last = rng.choice(FIRST_NAMES), rng.choice(LAST_NAMES)
    return {
        "Name": {
            "Salutation": rng.choice(SALUTATIONS),
            "FirstName": first,
            "LastName": last,
        },
        "Title": rng.choice(TITLES),
        "Email": f"contact{rng.randint(1, 99999)}@example.com",
        "Phone": _phone(rng),
        "MailingAddress": _address(rng),
    }


def _opportunity(rng: random.Random) -> JsonObject:
    stage, probability = rng.choice(STAGES[:3])
    closes = date(2026, 1, 1) + timedelta(days=rng.randint(0, 720))
    return {
        "Name": f"{rng.choice(COMPANY_HEADS)} - {rng.randint(10, 900)} seats",
        "StageName": stage,
        "Probability": probability,
        "Amount": _amount(rng),
        "CloseDate": closes.isoformat(),
        "NextStep": rng.choice(NOTES).partition("\n")[0],
    }


def _employee(rng: random.Random) -> JsonObject:
    return {
        "First_Name__c": rng.choice(FIRST_NAMES),
        "Last_Name__c": rng.choice(LAST_NAMES),
        "Tenure__c": rng.randint(0, 40),
        "Department__c": rng.choice(DEPARTMENTS),
        "Notes__c": rng.choice(NOTES),
    }


def _address(rng: random.Random) -> JsonObject:
    city, state, postal_code, country, code, latitude, longitude = rng.choice(CITIES)
    return {
        "Street": rng.choice(STREETS),
        "City": city,
        "State": state,
        "PostalCode": postal_code,
        "Country": country,
        "CountryCode": code,
        "Latitude": latitude,
        "Longitude": longitude,
        "GeocodeAccuracy": "Address",
    }


def _phone(rng: random.Random) -> str:
    return f"+1 415 555 {rng.randint(0, 9999):04d}"


def _amount(rng: random.Random) -> float:
    amount = round(rng.lognormvariate(10.5, 1.1), 2)
    return int(amount) if amount.is_integer() else amount

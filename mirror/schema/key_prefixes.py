"""The objects that the first three characters of an id stand for."""

from __future__ import annotations

from collections.abc import Mapping

#: Standard objects that polymorphic references point to. These prefixes are the same in every org.
STANDARD_PREFIXES: Mapping[str, str] = {
    "001": "Account",
    "003": "Contact",
    "005": "User",
    "006": "Opportunity",
    "00G": "Group",
    "00O": "Report",
    "00Q": "Lead",
    "00T": "Task",
    "00U": "Event",
    "00k": "OpportunityLineItem",
    "01Z": "Dashboard",
    "01t": "Product2",
    "02i": "Asset",
    "068": "ContentVersion",
    "069": "ContentDocument",
    "0Q0": "Quote",
    "0WO": "WorkOrder",
    "500": "Case",
    "501": "Solution",
    "701": "Campaign",
    "800": "Contract",
    "801": "Order",
    "802": "OrderItem",
    "810": "ServiceContract",
}

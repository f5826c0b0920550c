"""Metrics of verifications."""

from prometheus_client import Counter

DIFFERENCES = Counter(
    "cdc_mirror_differences",
    "Differences between a mirror and Salesforce that verifications found.",
    ["model", "reason"],
)

"""`test/` of connections and listeners. Each test logs in to Salesforce, so the rate is limited."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rest_framework import serializers
from rest_framework.settings import api_settings

from api.protocol.throttling import UserThrottle
from consumer.diagnostics.findings import Finding, Step


class LoginThrottle(UserThrottle):
    """Limits all tests of a user together: failed logins can lock Salesforce users out."""

    scope = "login"


#: The throttles of an action that logs in.
THROTTLES = [*api_settings.DEFAULT_THROTTLE_CLASSES, LoginThrottle]


class FindingSerializer(serializers.Serializer[Any]):
    step = serializers.ChoiceField(choices=[step.value for step in Step])
    text = serializers.CharField()
    is_failure = serializers.BooleanField()


class FoundSerializer(serializers.Serializer[Any]):
    """The findings of a test, in order."""

    works = serializers.BooleanField(help_text="false: at least one finding is a failure.")
    findings = FindingSerializer(many=True)


def found(findings: Iterable[Finding]) -> Any:
    """Run a test and return its findings. Never inside a transaction."""
    results = list(findings)
    works = not any(finding.is_failure for finding in results)
    return FoundSerializer({"works": works, "findings": results}).data

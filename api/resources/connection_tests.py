"""`test/` of a connection and of a listener: what a login finds. Each logs in to Salesforce, so
there are few of them a minute."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rest_framework import serializers
from rest_framework.settings import api_settings

from api.protocol.throttling import UserThrottle
from consumer.diagnostics.findings import Finding, Step


class LoginThrottle(UserThrottle):
    """Of all tests of one user together: logins that fail lock users out."""

    scope = "login"


#: Of an action that logs in.
THROTTLES = [*api_settings.DEFAULT_THROTTLE_CLASSES, LoginThrottle]


class FindingSerializer(serializers.Serializer[Any]):
    step = serializers.ChoiceField(choices=[step.value for step in Step])
    text = serializers.CharField()
    is_failure = serializers.BooleanField()


class FoundSerializer(serializers.Serializer[Any]):
    """What was found, in this order."""

    works = serializers.BooleanField(help_text="false: something of it is a failure.")
    findings = FindingSerializer(many=True)


def found(findings: Iterable[Finding]) -> Any:
    """Log in, and say what came of it. Outside any transaction."""
    told = list(findings)
    works = not any(finding.is_failure for finding in told)
    return FoundSerializer({"works": works, "findings": told}).data

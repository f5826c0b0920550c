"""gRPC's own traces, which environment variables enable, contain no access token."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_CALL = """
from tests.listeners.salesforce.pubsub.streams import stream_to
try:
    stream_to("http://127.0.0.1:1").open("-1")
except Exception as error:
    print(repr(error))
"""


@pytest.mark.process
def test_no_access_token_is_traced_with_any_setting():
    environment = {**os.environ, "GRPC_TRACE": "all", "GRPC_VERBOSITY": "debug", "no_proxy": "*"}
    ended = subprocess.run(
        [sys.executable, "-c", _CALL], env=environment, capture_output=True, check=True
    )
    traced = ended.stdout + ended.stderr

    assert b"SEND_INITIAL_METADATA" in traced  # that the call was traced at all
    assert b"accesstoken" in traced
    assert b"s3cr3t" not in traced
    assert b"73 33 63 72 33 74" not in traced  # the same in hexadecimal

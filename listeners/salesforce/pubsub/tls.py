"""A connection's TLS settings, as gRPC and as Python's own TLS take them."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import certifi
import grpc

from listeners.salesforce.errors import PubSubRefused, Reaction
from listeners.salesforce.http import ClientFileMissing, Tls

_ROOTS_OF_GRPC = "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"
_BUNDLES = (_ROOTS_OF_GRPC, "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def context_of(tls: Tls) -> ssl.SSLContext:
    """For Python's own TLS. Raises for files that are missing, or hold no certificate or key."""
    authorities = _authorities(tls)
    try:
        context = ssl.create_default_context(cafile=authorities)
        if not tls.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if tls.client_certificate:
            context.load_cert_chain(
                tls.client_certificate, tls.client_key or None, password=lambda: ""
            )
    except ssl.SSLError as error:
        why = f"a file of client_config.tls holds no usable certificate or key: {error.reason}"
        raise PubSubRefused("connecting", "tls", why, Reaction.CONFIGURATION) from None
    return context


def credentials_of(tls: Tls) -> grpc.ChannelCredentials:
    """For gRPC's TLS, which always verifies. Call ``context_of`` first: it checks the files."""
    key = tls.client_key or tls.client_certificate
    return grpc.ssl_channel_credentials(
        root_certificates=_read(_authorities(tls)),
        private_key=_read(key) if key else None,
        certificate_chain=_read(tls.client_certificate) if tls.client_certificate else None,
    )


def check_files(tls: Tls) -> None:
    """Raises ``ClientFileMissing`` for a file that can't be read."""
    for path in filter(None, (tls.ca_bundle, tls.client_certificate, tls.client_key)):
        _read(path)


def _authorities(tls: Tls) -> str:
    """What is configured outranks the environment."""
    named = filter(None, (tls.ca_bundle, *(os.environ.get(name) for name in _BUNDLES)))
    return next((path for path in named if Path(path).is_file()), certifi.where())


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        raise ClientFileMissing(path) from None

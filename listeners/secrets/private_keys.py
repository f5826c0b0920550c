"""Validation of the private key of a JWT login, an RSA key in PEM."""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from listeners.secrets.encrypted_field import Secret, SecretUnavailable

_WANTED = "Enter an RSA private key in PEM, without a passphrase (-----BEGIN PRIVATE KEY----- …)."


def pem_of(text: str) -> str:
    """Return the key in PEM; line breaks written as \\n in an environment variable are restored."""
    return text if "\n" in text.strip() else text.replace("\\n", "\n")


def private_key_problem(secret: Secret) -> str:
    """Return why a stored key is invalid; empty for a valid key, and for a reference, which is read
    when used."""
    if secret.reference or not secret:
        return ""
    try:
        key = load_pem_private_key(pem_of(secret.reveal()).encode(), None)
    except SecretUnavailable as unavailable:
        return f"The key cannot be checked: {unavailable}."
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: encrypted with a passphrase
        return _WANTED
    return "" if isinstance(key, RSAPrivateKey) else _WANTED

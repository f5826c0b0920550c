"""A model field for secrets: encrypted in the database, or a reference that is resolved on use.

SecretUnavailable   a reference or a key is missing; the message names it, but never the value
"""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import models
from django.db.models.query_utils import DeferredAttribute

from listeners.secrets import reference_rules

REFERENCES = ("env:", "file:")


class SecretUnavailable(Exception):
    """A secret cannot be read. Set the environment variable, make the file readable, allow it in
    the server's settings, or restore the encryption key."""


@lru_cache
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def _cipher() -> MultiFernet:
    return _fernet(tuple(settings.CDC_ENCRYPTION_KEYS))


class Secret:
    """A stored secret: ciphertext, or a reference `env:NAME` or `file:PATH`.

    Printing, logging or formatting a Secret never shows its value; only `reveal()` returns it.
    """

    __slots__ = ("_stored",)

    def __init__(self, stored: str) -> None:
        self._stored = stored

    @classmethod
    def of(cls, value: "Secret | str | None") -> "Secret":
        """Encrypt plain text; leave a reference, an empty text and a Secret unchanged."""
        if isinstance(value, Secret):
            return value
        if not value or value.startswith(REFERENCES):
            return cls(value or "")
        return cls(_cipher().encrypt(value.encode()).decode())

    def reveal(self) -> str:
        """Return the value in plain text. Raises SecretUnavailable."""
        if refused := reference_rules.flaw(self._stored):
            raise SecretUnavailable(refused)
        kind, _, name = self._stored.partition(":")
        if kind == "env":
            value = os.environ.get(name)
            if value is None:
                raise SecretUnavailable(f"the environment variable {name} is not set")
            if not _is_text(value):
                raise SecretUnavailable(f"the environment variable {name} is not valid UTF-8")
            return value
        if kind == "file":
            return _read(Path(name))
        return self._decrypted()

    def _decrypted(self) -> str:
        if not self._stored:
            return ""
        try:
            return _cipher().decrypt(self._stored.encode()).decode()
        except InvalidToken:
            raise SecretUnavailable(
                "a secret was encrypted with a key that is not in CDC_ENCRYPTION_KEYS; "
                "add the key or enter the secret again"
            ) from None

    @property
    def reference(self) -> str:
        """The reference `env:NAME` or `file:PATH`; empty if the value itself is stored."""
        return self._stored if self._stored.startswith(REFERENCES) else ""

    @property
    def stored(self) -> str:
        return self._stored

    def __bool__(self) -> bool:
        return bool(self._stored)

    @property
    def has_first_key(self) -> bool:
        """Whether the value is encrypted with the first of CDC_ENCRYPTION_KEYS."""
        try:
            _fernet((settings.CDC_ENCRYPTION_KEYS[0],)).decrypt(self._stored.encode())
        except InvalidToken:
            return False
        return True

    def encrypted_anew(self) -> "Secret":
        """Return the secret encrypted with the first key. Raises SecretUnavailable."""
        return Secret(_cipher().encrypt(self._decrypted().encode()).decode())

    def same_as(self, other: "Secret") -> bool:
        """Return whether both have the same value or the same reference."""
        if self.reference or other.reference:
            return self._stored == other._stored
        try:
            return self._decrypted() == other._decrypted()
        except SecretUnavailable:
            return self._stored == other._stored

    def __repr__(self) -> str:
        return f"<Secret {self.reference or ('set' if self else 'empty')}>"

    __str__ = __repr__


def described(secret: Secret) -> str:
    """Return `set`, `not set`, or the reference."""
    return secret.reference or ("set" if secret else "not set")


def _is_text(value: str) -> bool:
    """Return whether the value is valid UTF-8: Python decodes other bytes to lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _read(path: Path) -> str:
    try:
        return path.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SecretUnavailable(
            f"the file {path} cannot be read ({type(error).__name__})"
        ) from None


class _SecretAttribute(DeferredAttribute):
    """Encrypts each assigned value at once, so that a model instance never holds plain text."""

    def __set__(self, instance: models.Model, value: Secret | str | None) -> None:
        if isinstance(value, str):
            value = value.rstrip("\r\n")  # as for values from files
        instance.__dict__[self.field.attname] = Secret.of(value)


class EncryptedField(models.TextField):
    """A text field whose values are encrypted in the database and `Secret`s in Python."""

    descriptor_class = _SecretAttribute

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"blank": True, "default": "", **kwargs})

    def get_default(self) -> Secret:
        return Secret("")

    def from_db_value(self, value: str | None, *_: Any) -> Secret:
        return Secret(value or "")

    def to_python(self, value: Any) -> Any:
        return Secret.of(value)

    def get_prep_value(self, value: Any) -> str:
        return Secret.of(value).stored

    def value_to_string(self, obj: models.Model) -> str:
        secret: Secret = self.value_from_object(obj)
        return secret.stored

"""HTTPS for the simulator, with or without client certificates."""

import ssl
from pathlib import Path


def server_context(cert: str, key: str, client_ca: str) -> ssl.SSLContext | None:
    """The context to listen with; None without a certificate. Raises ValueError for bad files.

    With `client_ca`, a client must show a certificate that this authority has signed.
    """
    if not cert:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(Path(cert), Path(key) if key else None)
        if client_ca:
            context.load_verify_locations(Path(client_ca))
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:
        named = ", ".join(path for path in (cert, key, client_ca) if path)
        raise ValueError(f"cannot use the TLS files {named}: {error}") from error
    return context

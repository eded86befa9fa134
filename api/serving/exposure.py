"""What an operator should know of whom the server is open to, and the means against it."""

from __future__ import annotations

import ssl

from api.config import ServerConfig
from api.errors import StartupError
from api.http.transport.origin_guard import is_loopback


def exposure_warning(config: ServerConfig) -> str | None:
    """One line where strangers may use the server; None where it is guarded or this machine's alone."""
    has_keys = bool(config.api_key_hashes) or config.api_key_file is not None
    if has_keys or config.uds is not None or is_loopback(config.host):
        return None
    return (
        f"no API key, and listening on {config.host}: whoever can reach this machine can use the server. "
        "--host 127.0.0.1 keeps it to this machine, --api-key KEY or --api-key-file FILE guards it"
    )


def check_certificate(config: ServerConfig) -> None:
    """Raises StartupError where TLS is wanted and the files are no certificate with its key."""
    if config.ssl_certfile is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            config.ssl_certfile, config.ssl_keyfile, password=_no_password
        )
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        files = " with ".join(filter(None, (config.ssl_certfile, config.ssl_keyfile)))
        raise StartupError(f"cannot use the certificate {files}: {reason}") from error


def _no_password() -> str:
    raise ValueError("its key has a password, which nobody could type when the server starts again")

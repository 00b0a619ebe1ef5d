"""TLS contexts from files; where they are used, nobody reads a file or knows an option."""

from __future__ import annotations

import ssl

from tenantproxy.errors import TlsFiles


def client_context(
    *, ca_file: str | None, cert_file: str | None, key_file: str | None, verify: bool
) -> ssl.SSLContext:
    """Return a context for connections to an endpoint: TLS 1.2 or newer.

    Args:
        ca_file: PEM of the authorities to trust; None: those of the system.
        cert_file: PEM of our own certificate with what is between it and its authority; None:
            we have none.
        key_file: PEM of its key, without a passphrase; None: it stands in `cert_file`.
        verify: check the certificate and the name in it (RFC 9525); False: trust whoever answers.

    Raises:
        TlsFiles: a file cannot be read, or is not what it should be.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif ca_file is None:
        context.load_default_certs()
    else:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            raise TlsFiles(f"ca_file {ca_file}: {_why(error)}", hint=_PEM) from None
    if cert_file is not None:
        try:
            # A passphrase would be asked for on the terminal.
            context.load_cert_chain(cert_file, key_file, password=_no_passphrase)
        except (OSError, ssl.SSLError) as error:
            files = cert_file if key_file is None else f"{cert_file} with key_file {key_file}"
            raise TlsFiles(f"cert_file {files}: {_why(error)}", hint=_PEM) from None
    return context


_PEM = (
    "give PEM files that this process may read, a key without a passphrase and of its certificate"
)


def _no_passphrase() -> str:
    return ""


def _why(error: OSError) -> str:
    """Return one clause; `reason` is OpenSSL's word, such as KEY_VALUES_MISMATCH."""
    reason = getattr(error, "reason", None)
    if reason:
        return str(reason).lower().replace("_", " ")
    return error.strerror or "not a PEM file"

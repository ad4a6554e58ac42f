"""
A self-signed certificate for 127.0.0.1, and the contexts of both sides.

``Certificate.in_folder(folder)`` makes it there, or takes the one that is there, so a
restarted server has the same. ``certificate.pem`` in the folder is what a client must
trust (``SSL_CERT_FILE``, or :meth:`Certificate.client_context`).
"""

from __future__ import annotations

import dataclasses
import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """The files of a certificate that signs itself."""

    pem: Path
    """The certificate, which is its own authority."""
    key: Path

    @classmethod
    def in_folder(cls, folder: Path) -> Certificate:
        """Return the folder's certificate; make it if there is none."""
        made = cls(pem=folder / "certificate.pem", key=folder / "key.pem")
        if not (made.pem.exists() and made.key.exists()):
            folder.mkdir(parents=True, exist_ok=True)
            made.key.touch(mode=0o600)
            _write(made)
        return made

    def server_context(self) -> ssl.SSLContext:
        """Return what a server listens with."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.pem, self.key)
        return context

    def client_context(self) -> ssl.SSLContext:
        """Return what a client needs to trust the server."""
        return ssl.create_default_context(cafile=str(self.pem))


def _write(certificate: Certificate) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.IPv4Address("127.0.0.1")),
    ]
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    certificate.pem.write_bytes(signed.public_bytes(pem))
    certificate.key.write_bytes(
        key.private_bytes(
            pem,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )

"""A server that does with each connection what a test tells it, byte by byte, in the clear or under TLS."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import socket
import ssl
import struct
import threading
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Script = Callable[["Scripted", socket.socket], None]

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


class Scripted:
    """Where it listens, and every request that came, one list for each connection."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.connections: list[list[bytes]] = []

    def read(self, opened: socket.socket) -> bytes:
        """Read one request and return its body; b"" when the client has gone."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = opened.recv(1)
            if not byte:
                return b""
            head += byte
        size = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
        body = b""
        while len(body) < size and (more := opened.recv(size - len(body))):
            body += more
        self.connections[-1].append(head + body)
        return body


def answering(*answers: bytes) -> Script:
    """Return a script: read a request for each answer, and give it; then hang up."""

    def converse(server: Scripted, opened: socket.socket) -> None:
        for answer in answers:
            server.read(opened)
            opened.sendall(answer)

    return converse


def patiently(server: Scripted, opened: socket.socket) -> None:
    """Answer 200 to whatever comes, for as long as it comes."""
    while server.read(opened):
        opened.sendall(OK)


def reset(opened: socket.socket) -> None:
    """Close with a linger time of zero, which sends RST in place of FIN."""
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    opened.close()


@contextlib.contextmanager
def scripted(*scripts: Script, tls: ssl.SSLContext | None = None) -> Iterator[Scripted]:
    """Do `scripts[n]` with the n-th connection, the last one with all that follow."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Scripted(listener.getsockname()[1])

        def serve() -> None:
            number = 0
            while True:
                try:
                    opened, _ = listener.accept()
                except OSError:
                    return
                opened.settimeout(20)
                server.connections.append([])
                with contextlib.suppress(OSError), opened, _spoken(opened, tls) as spoken:
                    scripts[min(number, len(scripts) - 1)](server, spoken)
                number += 1

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(25)


def _spoken(opened: socket.socket, tls: ssl.SSLContext | None) -> socket.socket:
    return opened if tls is None else tls.wrap_socket(opened, server_side=True)


def _usage(signs: bool) -> x509.KeyUsage:
    names = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only")
    others = dict.fromkeys((*names, "decipher_only"), False)
    return x509.KeyUsage(digital_signature=True, key_cert_sign=signs, crl_sign=signs, **others)


class Authority:
    """A certificate authority of a test's own, and what it has signed, as files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a test's authority")])
        signed = self._sign(self._name, self._key.public_key(), x509.BasicConstraints(ca=True, path_length=None))
        self.certificate = folder / "authority.pem"
        self.certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, *hosts: str) -> tuple[Path, Path]:
        """Return the files of a certificate and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [
            x509.IPAddress(ipaddress.ip_address(host)) if host[0].isdigit() else x509.DNSName(host) for host in hosts
        ]
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        signed = self._sign(subject, key.public_key(), x509.SubjectAlternativeName(names or [x509.DNSName(name)]))
        certificate, private = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return certificate, private

    def server(self, *hosts: str, asks_for_client: bool = False) -> ssl.SSLContext:
        """Return what a server for `hosts` needs."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue("server", *hosts))
        if asks_for_client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.certificate)
        return context

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, extension: x509.ExtensionType
    ) -> x509.Certificate:
        signs = isinstance(extension, x509.BasicConstraints)
        now = datetime.datetime.now(datetime.timezone.utc)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(extension, critical=signs)
            .add_extension(_usage(signs), critical=True)  # asked for by Python 3.13
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )

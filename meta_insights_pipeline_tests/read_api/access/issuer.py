"""An issuer of tokens, as an identity provider is one: it has private keys, publishes the public ones, and signs."""

import base64
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@cache
def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """A private RSA key; the same one for a name, since making one takes a tenth of a second."""
    del name
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@cache
def ec_key(name: str) -> ec.EllipticCurvePrivateKey:
    """A private key on P-256."""
    del name
    return ec.generate_private_key(ec.SECP256R1())


def public_pem(key: PrivateKey) -> str:
    """The public half, as META_INSIGHTS_JWT_KEY takes it."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def private_pem(key: PrivateKey) -> str:
    """The private half, which must never get anywhere."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def jwk(key: PrivateKey, key_id: str, **members: str) -> dict[str, Any]:
    """The public half as an entry of a JWKS document."""
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        entry = RSAAlgorithm.to_jwk(public, as_dict=True)
    else:
        assert isinstance(public, ec.EllipticCurvePublicKey)
        entry = ECAlgorithm.to_jwk(public, as_dict=True)
    entry.pop("key_ops", None)
    return {**entry, "kid": key_id, "use": "sig", **members}


def claims(**changes: Any) -> dict[str, Any]:
    """The claims of a token that is good for an hour; a change to None removes one."""
    now = int(time.time())
    every = {"sub": "alice", "role": "viewer", "iat": now, "exp": now + 3600, **changes}
    return {name: value for name, value in every.items() if value is not None}


def unsigned(header: Mapping[str, Any], payload: Mapping[str, Any], signature: bytes = b"") -> str:
    """A token with whatever header and signature, as an attacker can write it."""
    parts = [json.dumps(header).encode(), json.dumps(payload).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def signed(key: PrivateKey | str, algorithm: str, key_id: str | None = None, **changes: Any) -> str:
    """A token with a right signature."""
    return jwt.encode(claims(**changes), key, algorithm, headers={"kid": key_id} if key_id else None)


@dataclass
class Publication:
    """What an issuer publishes, and how often it was fetched."""

    document: object = field(default_factory=dict)
    status: int = 200
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    fetched: int = 0


@contextmanager
def published(publication: Publication) -> Iterator[str]:
    """Serve a JWKS document over HTTP on a free port; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            publication.fetched += 1
            body = publication.body if publication.body is not None else json.dumps(publication.document).encode()
            self.send_response(publication.status)
            for name, value in publication.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/jwks.json"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

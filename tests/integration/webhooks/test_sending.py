"""One request against receivers that misbehave: slow, broken, huge, untrusted, or at a place that is not allowed."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from integration.webhooks.receiver import Receiver, Reply, receiving

from enginehouse.webhooks import Outcome
from scheduler.webhooks import sending
from scheduler.webhooks.reach import Reach
from scheduler.webhooks.sending import Answer

HERE = Reach((ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1")), http=True)


def post(url: str, reach: Reach = HERE, time_s: float = 5) -> Answer:
    return sending.post(url, {"webhook-id": "evt_1"}, b"{}", reach, time_s)


@contextmanager
def talking(talk: Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    """A server that reads a request and then does what ``talk`` does; the address."""
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(20)

    def run() -> None:
        try:
            peer, _ = listener.accept()
        except OSError:
            return
        with peer:
            peer.settimeout(20)
            try:
                seen = b""
                while not seen.endswith(b"\r\n\r\n{}"):  # it may come in pieces
                    piece = peer.recv(65536)
                    if not piece:
                        return
                    seen += piece
                talk(peer, over)
            except OSError:
                pass

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        over.set()
        listener.close()
        thread.join(10)


def test_given_any_success_i_expect_it_accepted() -> None:
    for status in (200, 202, 204):
        with receiving(lambda _, status=status: Reply(status, b"" if status == 204 else b"ok")) as receiver:
            answer = post(receiver.url + "?a=b%20c")
        assert (answer.outcome, answer.status, answer.address) == (Outcome.ACCEPTED, status, "127.0.0.1")
        assert receiver.got[0].headers["host"] == f"127.0.0.1:{receiver.port}"
        assert receiver.got[0].headers["webhook-id"] == "evt_1"
        assert "accept-encoding" not in receiver.got[0].headers


def test_given_any_other_status_i_expect_it_refused() -> None:
    for status in (400, 404, 500, 503):
        with receiving(lambda _, status=status: Reply(status, b"no")) as receiver:
            answer = post(receiver.url)
        assert (answer.outcome, answer.status, answer.response) == (Outcome.REFUSED, status, "no")


def test_given_a_byte_now_and_then_i_expect_the_deadline_all_the_same() -> None:
    def drip(peer: socket.socket, over: threading.Event) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\n")
        while not over.wait(0.05):
            peer.sendall(b"X-More: and more\r\n")

    began = time.monotonic()
    with talking(drip) as url:
        answer = post(url, time_s=0.5)
    assert answer.outcome is Outcome.TIMED_OUT
    assert "within 0.5 s" in answer.error
    assert time.monotonic() - began < 15  # it would have gone on for ever


def test_given_silence_i_expect_the_deadline() -> None:
    with talking(lambda _, over: bool(over.wait(20)) and None) as url:
        assert post(url, time_s=0.3).outcome is Outcome.TIMED_OUT


def test_given_an_endless_body_i_expect_its_beginning() -> None:
    def endless(peer: socket.socket, over: threading.Event) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not over.is_set():
            peer.sendall(b"x" * 65536)

    with talking(endless) as url:
        answer = post(url)
    assert answer.outcome is Outcome.ACCEPTED
    assert answer.response == "x" * sending.SHOWN


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", Outcome.NOT_HTTP),
        (b"", Outcome.UNREACHABLE),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 300 + b"\r\n", Outcome.NOT_HTTP),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000, Outcome.NOT_HTTP),
    ],
)
def test_given_no_http_i_expect_it_said(said: bytes, outcome: Outcome) -> None:
    with talking(lambda peer, _: peer.sendall(said)) as url:
        assert post(url).outcome is outcome


def test_given_nobody_i_expect_it_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        answer = post(f"http://127.0.0.1:{taken.getsockname()[1]}/")
    assert answer.outcome is Outcome.UNREACHABLE
    assert "no connection" in answer.error
    assert post("http://no-such-name.invalid/").outcome is Outcome.UNREACHABLE


def test_given_a_name_for_a_private_address_i_expect_no_connection() -> None:
    with receiving() as receiver:
        for host in ("localhost", "127.0.0.1", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]"):
            answer = post(f"http://{host}:{receiver.port}/", Reach(http=True))
            assert answer.outcome is Outcome.NOT_ALLOWED, host
            assert "is no public address" in answer.error
        answer = post(f"http://localhost:{receiver.port}/", Reach())
        assert answer.outcome is Outcome.NOT_ALLOWED
        assert receiver.got == []


def test_a_name_is_asked_for_once_and_what_was_checked_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that means a public address when it is checked, and a private one when it is connected to."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def rebinding(host: str, port: int, *args: object, **more: object) -> list[object]:
        asked.append(host)
        return real("127.0.0.2" if len(asked) == 1 else "127.0.0.1", port, *args, **more)  # type: ignore[arg-type,return-value]

    with receiving() as receiver:
        monkeypatch.setattr(socket, "getaddrinfo", rebinding)
        allowed = Reach((ipaddress.ip_network("127.0.0.2"),), http=True)
        answer = post(f"http://rebinding.example:{receiver.port}/", allowed)
        assert asked == ["rebinding.example"]
        assert answer.address == "127.0.0.2"  # where nobody listens, although the name now says 127.0.0.1
        assert answer.outcome is Outcome.UNREACHABLE
        assert receiver.got == []


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Callable[[str], ssl.SSLContext]]:
    """A certificate authority of the test's own, and servers' contexts with certificates by it for a name."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority")])
    now = datetime.now(UTC)

    def certificate(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        made = x509.CertificateBuilder().subject_name(subject).issuer_name(name).public_key(public)
        made = made.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
        return made.not_valid_after(now + timedelta(days=1))

    root = certificate(name, key.public_key()).add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
    root = root.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    root = root.add_extension(
        x509.KeyUsage(True, False, False, False, False, True, True, False, False), True
    )  # signs, and signs certificates
    pem = folder / "authority.pem"
    pem.write_bytes(root.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def context(host: str) -> ssl.SSLContext:
        own = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        leaf = certificate(subject, own.public_key())
        leaf = leaf.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
        leaf = leaf.add_extension(issuer, False)
        both = folder / f"{host}.pem"
        both.write_bytes(
            own.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + leaf.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        )
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(both)
        return made

    return pem, context


@pytest.fixture
def trusting(
    authority: tuple[Path, Callable[[str], ssl.SSLContext]], monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """This process trusts the test's authority, as an operator says it: by SSL_CERT_FILE."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority[0]))
    sending._tls.cache_clear()
    yield
    sending._tls.cache_clear()


def _at(receiver: Receiver, host: str) -> str:
    return f"https://{host}:{receiver.port}/"


def test_tls_asks_for_the_name_although_an_address_is_connected_to(authority, trusting: None) -> None:
    with receiving(tls=authority[1]("localhost")) as receiver:
        answer = post(_at(receiver, "localhost"))
        assert (answer.outcome, answer.error) == (Outcome.ACCEPTED, "")
        assert answer.address in {"127.0.0.1", "::1"}
        wrong = post(_at(receiver, "127.0.0.1"))
        assert wrong.outcome is Outcome.TLS_FAILED
        assert len(receiver.got) == 1


def test_an_authority_that_is_not_known_is_not_trusted(authority) -> None:
    sending._tls.cache_clear()
    with receiving(tls=authority[1]("localhost")) as receiver:
        answer = post(_at(receiver, "localhost"))
        assert answer.outcome is Outcome.TLS_FAILED
        assert "certificate" in answer.error
        assert receiver.got == []


def test_no_tls_where_some_is_expected_is_said() -> None:
    with receiving() as receiver:
        assert post(f"https://127.0.0.1:{receiver.port}/").outcome is Outcome.TLS_FAILED

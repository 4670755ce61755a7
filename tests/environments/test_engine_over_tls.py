"""An engine over TLS: the real one, behind a small server that speaks TLS with a certificate of the test's own."""

import datetime as dt
import ipaddress
import socket
import ssl
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from apps.audit.actors import SYSTEM
from apps.environments import actions, executor, observer
from apps.environments.containers import found
from apps.environments.models import Environment
from tests.environments.bringing import SLEEPER, Stack, failed
from tests.environments.containers.projects import needs_engine

pytestmark = pytest.mark.django_db(transaction=True)
SOCKET = "/var/run/docker.sock"


def _pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def make_certificates(folder):
    """An authority, a certificate of the server at 127.0.0.1 and one of a client, as docker wants them in a folder."""
    now = dt.datetime.now(dt.UTC)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority of a test")])

    def sign(name, key, *extensions):
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(authority_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(hours=1))
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(authority_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    folder.mkdir()
    identifier = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    (folder / "ca.pem").write_bytes(
        sign(
            authority_name,
            authority_key,
            (x509.BasicConstraints(True, None), True),
            (usage, True),
            (identifier, False),
        )
    )
    by = (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), False)
    for file, name, purpose in (
        ("", "client", ExtendedKeyUsageOID.CLIENT_AUTH),
        ("server-", "server", ExtendedKeyUsageOID.SERVER_AUTH),
    ):
        key = ec.generate_private_key(ec.SECP256R1())
        more = [by, (x509.ExtendedKeyUsage([purpose]), False)]
        if name == "server":
            address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
            more.append((x509.SubjectAlternativeName([address]), False))
        (folder / f"{file}cert.pem").write_bytes(
            sign(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key, *more)
        )
        (folder / f"{file}key.pem").write_bytes(_pem(key))
    return folder


def _carry(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def _serve(listener, context, stop):
    while not stop.is_set():
        try:
            raw, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_answer, args=(raw, context), daemon=True).start()


def _answer(raw, context):
    try:
        with context.wrap_socket(raw, server_side=True) as client, socket.socket(socket.AF_UNIX) as engine:
            engine.connect(SOCKET)
            back = threading.Thread(target=_carry, args=(engine, client), daemon=True)
            back.start()
            _carry(client, engine)
            back.join(30)
    except (ssl.SSLError, OSError):
        raw.close()


@pytest.fixture
def over_tls(tmp_path):
    """(address, folder of certificates) of the engine over TLS; a client without a certificate is turned away."""
    needs_engine()
    folder = make_certificates(tmp_path / "certificates")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server-cert.pem", folder / "server-key.pem")
    context.load_verify_locations(folder / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_serve, args=(listener, context, stop), daemon=True).start()
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}", folder
        stop.set()


@pytest.fixture
def stack(tmp_path, settings):
    settings.DATA = tmp_path / "data"
    made = Stack(tmp_path / "compose.yaml", {"db": dict(SLEEPER)})
    yield made
    made.remove()


def test_a_stack_goes_up_and_is_seen_over_tls(over_tls, stack):
    url, folder = over_tls
    stack.make()
    Environment.objects.update(engine_url=url, engine_certificates=str(folder))
    job = stack.change()
    assert job.state == "succeeded", job.message
    assert url in job.stages.get(name="platform").message
    assert [each.name for each in observer.look(Environment.objects.get(slug="shop"))] == ["db"]


def test_without_a_certificate_nobody_answers(over_tls):
    url, _ = over_tls
    with pytest.raises(found.EngineAway), found.engine(url):
        pass


def test_the_certificate_of_another_authority_is_not_taken(over_tls, stack, tmp_path):
    url, _ = over_tls
    other = make_certificates(tmp_path / "other")
    stack.make()
    Environment.objects.update(engine_url=url, engine_certificates=str(other))
    environment = Environment.objects.get(slug="shop")
    done = executor.execute(actions.change_stack(by=SYSTEM, environment=environment, action="up").pk)
    assert (done.state, failed(done).name) == ("failed", "platform")

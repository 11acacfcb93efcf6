"""A store at a service that speaks TLS: refused where it is not trusted, whole where it is."""

import threading
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
import torch
from buckets import LACKS, forget, settings
from fake_features import LAYOUT, MADE, features, read, refs

from featurekit.core.errors import ConfigError
from featurekit.store.read import StoredFeatures
from featurekit.store.records import StoreSpec
from featurekit.store.upkeep import verify_store
from featurekit.store.write import write_store

pytestmark = pytest.mark.skipif(bool(LACKS), reason="needs moto and s3fs")
DAY = timedelta(days=1)
SPEC = StoreSpec(MADE, ("fp32",), LAYOUT)


def certificate(folder):
    """Files of a certificate that a service of this machine signed itself, and of its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - DAY).not_valid_after(now + DAY)
    signed = made.add_extension(names, critical=False).sign(key, hashes.SHA256())
    (folder / "service.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return str(folder / "service.pem"), str(folder / "key.pem")


@pytest.fixture
def trusted(tmp_path, monkeypatch):
    """A service with an empty bucket, and the file by which it can be trusted."""
    import boto3
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    files = certificate(tmp_path)
    application = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, application, threaded=True, ssl_context=files)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    for name, value in settings(f"https://127.0.0.1:{server.server_port}").items():
        monkeypatch.setenv(name, value)
    boto3.client("s3", verify=files[0]).create_bucket(Bucket="behind-tls")
    forget()
    yield files[0]
    server.shutdown()
    thread.join(60)
    server.server_close()
    monkeypatch.undo()
    forget()


def test_who_is_not_trusted_gets_nothing_and_who_is_gets_a_whole_store(trusted, monkeypatch):
    url, samples = "s3://behind-tls/store", refs(5)
    with pytest.raises(ConfigError, match=r"must answer, but .*certificate verify failed"):
        write_store(url, samples, read=read, spec=SPEC)
    forget()
    monkeypatch.setenv("AWS_CA_BUNDLE", trusted)
    write_store(url, samples, read=read, spec=SPEC)
    assert verify_store(url) == ()
    stored = dict(StoredFeatures(url))
    assert sorted(stored) == sorted(one.id for one in samples)
    for one in samples:
        wanted = features(one)
        assert all(torch.equal(stored[one.id][name], wanted[name]) for name in wanted)

"""Buckets of objects on loopback for tests: no network, nobody's keys, a process of its own."""

import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest

from featurekit.store.places.services import reached

LACKS = [name for name in ("moto", "s3fs") if find_spec(name) is None]


def settings(endpoint: str) -> dict[str, str]:
    """What a user sets for a service: here a loopback address and keys that mean nothing."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def forget() -> None:
    """Let what was reached be reached anew, by other settings."""
    reached.cache_clear()
    if not LACKS:
        fsspec.get_filesystem_class("s3").clear_instance_cache()


@pytest.fixture(scope="session")
def bucket_service() -> Iterator[str]:
    """The address of a service that keeps buckets as long as the tests last."""
    if LACKS:
        pytest.skip(f"{' and '.join(LACKS)} must be installed: pip install 'featurekit[dev]'")
    server = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("bucket_server.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    endpoint = server.stdout.readline().strip()
    assert endpoint.startswith("http://127.0.0.1:")
    yield endpoint
    server.communicate(timeout=60)


@pytest.fixture(scope="session")
def bucket_settings(bucket_service: str) -> Iterator[str]:
    """The environment of a user of the service, here and in child processes."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings(bucket_service).items():
            patch.setenv(name, value)
        forget()
        yield bucket_service
    forget()


@pytest.fixture
def bucket(bucket_settings: str) -> str:
    """The address of a new bucket."""
    return new_bucket()


def new_bucket() -> str:
    """Make a bucket; its address."""
    name = f"bucket-{uuid4().hex[:12]}"
    fsspec.filesystem("s3", use_listings_cache=False).mkdir(name)
    return f"s3://{name}"


def objects(url: str) -> dict[str, bytes]:
    """Every object below an address by its name from there, with its bytes."""
    service, key = fsspec.core.url_to_fs(url, use_listings_cache=False)
    found = service.find(key)
    return {one.removeprefix(f"{key}/"): service.cat_file(one) for one in sorted(found)}


def as_folder(url: str) -> dict[str, bytes]:
    """What lies below an address, as the files of a store in a folder would have it."""
    found: dict[str, bytes] = {}
    for name, content in objects(url).items():
        if "/commits/" in name:
            name = f"{name.partition('/')[0]}/commits.jsonl"
        elif name.startswith("reduction-"):
            name = "reduction.safetensors"
        found[name] = found.get(name, b"") + content
    return dict(sorted(found.items()))


def put(url: str, content: bytes | None) -> None:
    """Put an object there, or take it away."""
    service, key = fsspec.core.url_to_fs(url, use_listings_cache=False)
    if content is None:
        service.rm_file(key)
    else:
        service.pipe_file(key, content)

"""Whether anybody answers at RAY_ADDRESS: asked before Ray waits for minutes or ends the process.

Ray's head speaks gRPC, that is HTTP/2, in which a server's first words are its settings (RFC 9113,
section 3.4).
"""

import os
import re
import socket

from featurekit.core.errors import ConfigError

ANSWER_S = 8.0  # patience with each step
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
_SETTINGS, _TYPE_AT = 4, 3  # of a frame


def check_answers(address: str) -> None:
    """Refuse an address at which no head of a cluster answers, within 20 s.

    Args:
        address: of ``RAY_ADDRESS``: ``host:port``; ``auto`` is left to Ray.

    Raises:
        ConfigError: it has another form, or nothing or something else answers there.
    """
    if address == "auto":
        return
    parts = re.fullmatch(r"\[?([\w.:-]+?)\]?:(\d{1,5})", address)
    if parts is None:
        raise ConfigError(
            f"RAY_ADDRESS must be host:port of a cluster's head, such as 10.0.0.1:6379, or auto, "
            f"got {address!r}"
        )
    try:
        first = _first_words(parts[1], int(parts[2]))
    except (OSError, OverflowError) as error:
        reason = "no answer" if isinstance(error, TimeoutError) else str(error)
        raise ConfigError(
            f"RAY_ADDRESS must be that of a running cluster, but {address!r} gave: {reason}; "
            f"start it with ray start --head, or unset RAY_ADDRESS for workers on this machine"
        ) from error
    if len(first) <= _TYPE_AT or first[_TYPE_AT] != _SETTINGS:
        raise ConfigError(
            f"RAY_ADDRESS must be that of a cluster's head, but something else answers at "
            f"{address!r}; give the port that ray start --head names"
        )


def _first_words(host: str, port: int) -> bytes:
    with socket.create_connection((host, port), timeout=ANSWER_S) as connection:
        if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):  # only Ray has the keys
            return bytes((0, 0, 0, _SETTINGS))
        connection.sendall(_HELLO)
        return connection.recv(64)

"""A service of objects on loopback that answers, and then as a test wants it no more."""

import re
import socket
import threading
from time import sleep

LIST = b'<?xml version="1.0"?><ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>'
UPLOAD = b"<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
PIECE_BYTES, PIECE_S = 2**15, 0.02  # of a slow line: 1.6 MB/s


class SilentService:
    """Answers as a bucket without objects until ``mood`` says otherwise.

    Moods: ``answering``; ``mute`` reads and never answers; ``deaf`` does not even read;
    ``stalling`` answers with headers and half of what they promise; ``slow`` reads and answers
    piece by piece; ``mute parts`` begins uploads and is mute to their parts.
    """

    def __init__(self):
        self.mood, self.asked = "answering", []
        self.body = b""  # of any object, where it is slow
        self._open = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PIECE_BYTES)
        self.endpoint = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._open.set()
        self._server.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection):
        with connection:
            try:
                while True:
                    self._request(connection)
            except OSError:
                return

    def _request(self, connection):
        """Read a request and answer it; False where the connection has ended."""
        head = b""
        while b"\r\n\r\n" not in head:
            self._hear()
            head += self._piece(connection)
        head, _, body = head.partition(b"\r\n\r\n")
        method, path = head.split(b" ")[:2]
        self.asked.append((method.decode(), path.decode()))
        if b"100-continue" in head.lower() and not self._mute(method):
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        found = re.search(rb"(?i)content-length: (\d+)", head)
        length, got = int(found[1]) if found else 0, len(body)
        while got < length:
            self._hear()
            got += len(self._piece(connection))
        self._hear()
        self._answer(connection, method, path)

    def _hear(self):
        if self.mood == "deaf":
            self._open.wait()
        if self.mood == "slow":
            sleep(PIECE_S)

    def _piece(self, connection):
        piece = connection.recv(PIECE_BYTES)
        if not piece:
            raise OSError("the connection has ended")
        return piece

    def _mute(self, method):
        return self.mood == "mute" or (self.mood == "mute parts" and method == b"PUT")

    def _answer(self, connection, method, path):
        if self._mute(method):
            self._open.wait()
            raise OSError("the service has ended")
        if self.mood == "stalling" and method != b"HEAD":
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n<half")
            self._open.wait()
            return
        code, body = b"200 OK", b""
        if method == b"GET":
            body = LIST if b"list-type" in path else self.body
        if method == b"POST":
            body = UPLOAD
        if method == b"HEAD":
            there = self.body or self.mood == "stalling"
            code = b"200 OK" if there else b"404 Not Found"
        length = len(self.body or b"half") if method == b"HEAD" else len(body)
        connection.sendall(
            b'HTTP/1.1 %b\r\nETag: "1"\r\nContent-Length: %d\r\n\r\n' % (code, length)
        )
        for start in range(0, len(body), PIECE_BYTES):
            connection.sendall(body[start : start + PIECE_BYTES])
            if self.mood == "slow":
                sleep(PIECE_S)


class Hushing:
    """Hands on what is said to a service and by it, until it has heard a number of requests."""

    def __init__(self, endpoint, heard=10**9):
        self.heard = heard
        self._to = ("127.0.0.1", int(endpoint.rpartition(":")[2]))
        self._ended = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._ended.set()
        self._server.close()

    def _accept(self):
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            far = socket.create_connection(self._to)
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self._hand_on, args=pair, daemon=True).start()

    def _hand_on(self, one, other):
        with one, other:
            try:
                while piece := one.recv(2**16):
                    self.heard -= piece.count(b" HTTP/1.1\r\n")  # of requests alone
                    if self.heard < 0:
                        self._ended.wait()
                        return
                    other.sendall(piece)
            except OSError:
                return

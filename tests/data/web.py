"""A web server on the loopback interface that can misbehave as real ones do."""

from __future__ import annotations

import contextlib
import hashlib
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Web:
    """What the server holds, what went wrong with it so far, and what it was asked.

    `faults[path]` are the names of methods of the handler, used up one a request; then the file is served well.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, list[str]] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    scheme: str = "http"
    port: int = 0
    gate: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}{path}"

    def ranges(self, path: str) -> list[str | None]:
        """Returns the Range headers of the requests for `path`, in order."""
        return [header for one, header in self.asked if one == path]


class Handler(BaseHTTPRequestHandler):
    """Serves the files of `web` with Range, or one fault after the other."""

    web: Web

    def do_GET(self) -> None:
        self.web.asked.append((self.path, self.headers.get("Range")))
        faults = self.web.faults.get(self.path, [])
        fault = faults[0] if faults else ""
        if faults and not fault.endswith("always"):
            del faults[0]
        content = self.web.files.get(self.path)
        if content is None and not fault:
            return self.send_error(404)
        name, _, argument = fault.removesuffix(" always").partition(" ")
        getattr(self, f"fault_{name}" if name else "serve")(content or b"", *([argument] if argument else []))

    def begin(self, content: bytes) -> int:
        """Returns where the asked-for bytes begin."""
        asked = self.headers.get("Range")
        return int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0

    def head(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def serve(self, content: bytes) -> None:
        begin = self.begin(content)
        if begin >= len(content) and begin:
            return self.head(416, Content_Range=f"bytes */{len(content)}", Content_Length=0)
        rest = content[begin:]
        spans = {"Content_Range": f"bytes {begin}-{len(content) - 1}/{len(content)}"} if begin else {}
        self.head(206 if begin else 200, Content_Length=len(rest), **spans)
        self.wfile.write(rest)

    def fault_status(self, content: bytes, argument: str) -> None:
        status, _, wait = argument.partition(",")
        self.head(int(status), Content_Length=0, **({"Retry_After": wait} if wait else {}))

    def fault_truncated(self, content: bytes, count: str) -> None:
        """Promises all of the rest, and hangs up after `count` bytes of it."""
        begin = self.begin(content)
        spans = {"Content_Range": f"bytes {begin}-{len(content) - 1}/{len(content)}"} if begin else {}
        self.head(206 if begin else 200, Content_Length=len(content) - begin, **spans)
        self.wfile.write(content[begin : begin + int(count)])

    def fault_no_range(self, content: bytes) -> None:
        self.head(200, Content_Length=len(content))
        self.wfile.write(content)

    def fault_wrong_range(self, content: bytes, span: str) -> None:
        self.head(206, Content_Length=len(content), Content_Range=span.replace("_", " "))
        self.wfile.write(content)

    def fault_no_length(self, content: bytes) -> None:
        self.head(200)
        self.wfile.write(content)

    def fault_chunked(self, content: bytes, argument: str = "") -> None:
        """In chunks (RFC 9112, 7.1); "cut" leaves the last one out."""
        self.protocol_version = "HTTP/1.1"
        self.close_connection = True
        self.head(200, Transfer_Encoding="chunked")
        for at in range(0, len(content), 1000):
            piece = content[at : at + 1000]
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        if argument != "cut":
            self.wfile.write(b"0\r\n\r\n")

    def fault_redirect(self, content: bytes, to: str) -> None:
        self.head(302, Location=to, Content_Length=0)

    def fault_garbage(self, content: bytes) -> None:
        self.wfile.write(b"\x00\xff this is not HTTP\r\n\r\n")

    def fault_raw(self, content: bytes) -> None:
        self.wfile.write(content)

    def fault_stall(self, content: bytes, count: str) -> None:
        """Sends `count` bytes, then nothing until the test opens the gate."""
        self.head(200, Content_Length=len(content))
        self.wfile.write(content[: int(count)])
        self.wfile.flush()
        self.web.gate.wait(60)

    def fault_drip(self, content: bytes) -> None:
        """A byte now and then, so that no single wait is long."""
        self.head(200, Content_Length=len(content))
        for at in range(len(content)):
            self.wfile.write(content[at : at + 1])
            self.wfile.flush()
            if self.web.gate.wait(0.02):
                return

    def fault_huge(self, content: bytes) -> None:
        """Promises an exabyte."""
        self.head(200, Content_Length=10**18)

    def log_message(self, *_: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:  # a client that hangs up is part of the tests
        pass


@contextlib.contextmanager
def serving(certificate: Path | None = None) -> Iterator[Web]:
    """Yields what a new server serves, while it runs; by https with the `certificate` and key in one file."""
    web = Web()
    server = Server(("127.0.0.1", 0), type("Bound", (Handler,), {"web": web}))
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        web.scheme = "https"
    web.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield web
    finally:
        web.gate.set()
        server.shutdown()
        server.server_close()
        thread.join()

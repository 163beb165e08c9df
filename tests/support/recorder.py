"""A small real HTTP server that keeps what is posted to it and answers as told."""

import json
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from tests.support.process import wait_for

Event = dict[str, Any]
Answer = tuple[int, dict[str, str], object]  # status, headers, JSON body
ACCEPTED: Answer = (200, {}, {"accepted": 1, "rejected": 0, "errors": []})


class Recorder:
    """Keeps the events of every request it accepted; ``answer`` decides, request by request."""

    def __init__(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.events: list[Event] = []
        self.requests: list[list[Event]] = []  # refused ones included
        self.headers: list[dict[str, str]] = []
        self.answer: Callable[[list[Event]], Answer] = lambda _: ACCEPTED
        self.release = threading.Event()  # while cleared, requests wait for their answer
        self.release.set()
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                events = [json.loads(line) for line in body.splitlines()]
                recorder.requests.append(events)
                recorder.headers.append(dict(self.headers))
                recorder.release.wait(30)
                status, headers, content = recorder.answer(events)
                if status in (200, 207):
                    recorder.events.extend(events)
                data = json.dumps(content).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """A client that left is none of the test's business."""

        self._server = Server(("127.0.0.1", port), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port: int = self._server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def wait(self, count: int) -> list[Event]:
        """The events once there are ``count`` of them."""
        wait_for(lambda: len(self.events) >= count, f"{count} events")
        return self.events

    def ends(self) -> list[Event]:
        """The events that are not ``started``."""
        return [event for event in self.events if event["outcome"] != "started"]

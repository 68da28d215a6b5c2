"""Somebody who hears whoever calls a port of this host."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, HTTPServer


class Listener:
    """Counts calls to a port of this host."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        heard = self.heard

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                heard.append(self.path)
                self.send_error(404)

            def log_message(self, *_: object) -> None: ...

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"

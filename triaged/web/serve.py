"""The web server in a thread of the supervisor: bound before it says so, stopped in order."""

from __future__ import annotations

import socket
import threading
import time

import uvicorn
from fastapi import FastAPI

from triaged.errors import TriagedError
from triaged.web.live import Live

START_LIMIT_S = 10.0
STOP_LIMIT_S = 5.0  # for requests in flight; then they are cut


class WebServer:
    """uvicorn around one application. `start()` returns once the port answers; `stop()` once it no longer does."""

    def __init__(self, app: FastAPI, host: str, port: int) -> None:
        self._app = app
        self._host = host
        settings = uvicorn.Config(
            app,
            host=host,
            port=port,
            log_config=None,
            access_log=False,  # a search in the address may name a patient
            server_header=False,
            timeout_graceful_shutdown=int(STOP_LIMIT_S),
            lifespan="off",
        )
        self._server = uvicorn.Server(settings)
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)
        self._socket: socket.socket | None = None
        self.port = port

    def _run(self) -> None:
        assert self._socket is not None
        self._server.run(sockets=[self._socket])

    def start(self) -> None:
        """Raises TriagedError where the port is taken or the server does not come up."""
        self._socket = self._bind()
        self.port = self._socket.getsockname()[1]
        self._thread.start()
        deadline = time.monotonic() + START_LIMIT_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise TriagedError(f"the web server did not start on {self._host}:{self.port}")
            time.sleep(0.01)

    def _bind(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        bound = socket.socket(family, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((self._host, self.port))
            bound.set_inheritable(False)
        except OSError as error:
            bound.close()
            raise TriagedError(f"the web server cannot listen on {self._host}:{self.port}: {error.strerror}") from error
        return bound

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        live: Live = self._app.state.live
        live.stop()  # an open event stream would keep the server from closing
        self._server.should_exit = True
        self._thread.join(2 * STOP_LIMIT_S)
        if self._socket is not None:
            self._socket.close()

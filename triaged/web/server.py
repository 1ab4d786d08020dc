"""The web server's thread: uvicorn on a socket that was bound before anything else was started."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import uvicorn
from prometheus_client import CollectorRegistry

from triaged.config import Config
from triaged.errors import StorageError
from triaged.store import Store
from triaged.web.app import create_app
from triaged.web.status import DaemonStatus

STOP_LIMIT_S = 5.0  # open event streams are cut then; the browser reconnects by itself


class WebServer:
    """Board, API, health and metrics in a thread of the supervisor."""

    def __init__(
        self, config: Config, store: Store, *, status: Callable[[], DaemonStatus], registry: CollectorRegistry
    ) -> None:
        """Binds at once: a port that is taken ends the start. Raises StorageError."""
        family = socket.AF_INET6 if ":" in config.web.host else socket.AF_INET
        self._socket = socket.socket(family)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((config.web.host, config.web.port))
        except OSError as error:
            self._socket.close()
            raise StorageError(f"web: {config.web.host}:{config.web.port} cannot be bound: {error.strerror}") from error
        app = create_app(config, store, status=status, registry=registry)
        settings = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,  # request lines hold UIDs and whatever a client puts into a URL
            server_header=False,
            timeout_graceful_shutdown=int(STOP_LIMIT_S),
        )
        self._server = uvicorn.Server(settings)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="web", daemon=True)

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(2 * STOP_LIMIT_S)
        self._socket.close()

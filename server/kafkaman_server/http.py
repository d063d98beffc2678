"""Plain HTTP on the WebSocket's port: the health check, and words for whoever is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus

from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from kafkaman_sync.__about__ import __version__
from kafkaman_sync.protocol.messages import SUBPROTOCOL


class Front:
    """Answers plain requests; lets WebSocket handshakes pass unless the server is full."""

    def __init__(self, *, failing: Callable[[], str], full: Callable[[], bool]) -> None:
        self._failing = failing
        self._full = full

    def process(self, connection: ServerConnection, request: Request) -> Response | None:
        """Return the answer to a plain request, None to go on with the handshake."""
        path = request.path.partition("?")[0]
        if "websocket" in request.headers.get("Upgrade", "").lower():
            return self._judge_handshake(request)
        if path == "/healthz":
            return self._health()
        if path == "/":
            return _text(
                HTTPStatus.UPGRADE_REQUIRED,
                "This is a kafkaman sync server. Sign in with:\n"
                "  kafkaman sign-in --server ws://HOST:PORT --user NAME\n",
                {"Upgrade": "websocket"},
            )
        return _text(HTTPStatus.NOT_FOUND, "Nothing is here. /healthz tells how the server is.\n")

    def _health(self) -> Response:
        failing = self._failing()
        report = {"status": "failing" if failing else "ok", "version": __version__}
        if failing:
            report["cause"] = failing
        status = HTTPStatus.SERVICE_UNAVAILABLE if failing else HTTPStatus.OK
        return _response(status, "application/json", json.dumps(report) + "\n")

    def _judge_handshake(self, request: Request) -> Response | None:
        offered = ",".join(request.headers.get_all("Sec-WebSocket-Protocol"))
        if SUBPROTOCOL not in [name.strip() for name in offered.split(",")]:
            return _text(
                HTTPStatus.BAD_REQUEST,
                f"This server speaks the subprotocol {SUBPROTOCOL}, which was not offered.\n",
            )
        if self._full():
            return _text(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "The server has all the connections that it can take.\n",
                {"Retry-After": "30"},
            )
        return None


def _text(status: HTTPStatus, text: str, headers: dict[str, str] | None = None) -> Response:
    return _response(status, "text/plain; charset=utf-8", text, headers)


def _response(
    status: HTTPStatus, content_type: str, text: str, headers: dict[str, str] | None = None
) -> Response:
    body = text.encode()
    return Response(
        status.value,
        status.phrase,
        Headers(
            {
                "Content-Type": content_type,
                "Content-Length": str(len(body)),
                "Cache-Control": "no-store",
                "Connection": "close",
                **(headers or {}),
            }
        ),
        body,
    )

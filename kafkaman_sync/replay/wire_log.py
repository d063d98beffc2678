"""A server over the wire as a source: signed in as a device of its own, which signs out at the end.

The connection lives in a thread: it has to be read however long the reader of the log takes, for a
server cuts off who takes nothing. What the server streams to every device is not looked at, but
tells that something was written.
"""

from __future__ import annotations

import asyncio
import platform
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

from kafkaman_sync.device.link import CALL_SECONDS_MAX, Link, address_of, ask, check_url
from kafkaman_sync.errors import KafkamanError, LinkError, RefusedError, ReplayError
from kafkaman_sync.protocol.messages import (
    Call,
    Events,
    Goodbye,
    Hello,
    Position,
    Reply,
    Welcome,
)
from kafkaman_sync.replay.endings import endings_interrupt, undisturbed
from kafkaman_sync.replay.records import Credentials
from kafkaman_sync.replay.remote_log import RemoteLog
from kafkaman_sync.replay.source import SourceKind

DEVICE_NAME: Final = "replay"
SIGN_OUT_SECONDS_MAX: Final = 10.0

T = TypeVar("T")


class WireLog(RemoteLog):
    """The logs of one account's workspaces, from their server."""

    kind = SourceKind.WIRE

    def __init__(self, url: str, thread: _Thread, seat: _Seat) -> None:
        super().__init__()
        self.label = address_of(url)
        self._thread = thread
        self._seat = seat

    @classmethod
    @contextmanager
    def open(cls, url: str, credentials: Credentials) -> Iterator[WireLog]:
        """Sign in inside the block, and out again at its end, also when it is interrupted.

        Raises RefusedError for what the server refuses, LinkError for what happens on the way, and
        ReplayError `replay.still_signed_in` when it could not sign out.
        """
        url = check_url(url)
        with endings_interrupt(), _Thread.running() as thread:
            seat = _sign_in(thread, url, credentials)
            try:
                thread.do(seat.connect())
                yield cls(url, thread, seat)
            finally:
                _leave(thread, seat)

    def ask(self, params: dict[str, Any]) -> dict[str, Any]:
        """Make the call; once more over a new connection if the old one was cut."""
        return self._thread.do(self._seat.call("log", params))

    def workspaces(self) -> list[str]:
        """Return the workspaces that the server's welcome names."""
        return list(self._seat.workspaces)

    def wait(self, seconds: float) -> bool:
        """Wait until the server has sent events."""
        told = self._seat.news.wait(seconds)
        # What comes between the two is of the next round.
        if told:
            self._seat.news.clear()
        return told


class _Seat:
    """A device's place at the server, and its present connection; lives in the thread's loop."""

    def __init__(self, url: str, signed_in: dict[str, Any]) -> None:
        self.device = str(signed_in["device"])
        self.workspaces: tuple[str, ...] = ()
        self.news = threading.Event()
        self._url = url
        self._token = str(signed_in["token"])
        self._lease = ""
        self._positions: tuple[Position, ...] = ()
        self._calls: dict[int, asyncio.Future[Reply]] = {}
        self._last_call = 0
        self._link: Link | None = None
        self._reading: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Say hello, at the head of every workspace: what came before is asked for by calls."""
        if not self._positions:
            async with Link.open(self._url) as link:
                self._take(await self._welcomed(link))
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reading = asyncio.create_task(self._read(opened))
        await opened

    async def _read(self, opened: asyncio.Future[None]) -> None:
        try:
            async with Link.open(self._url) as link:
                self._take(await self._welcomed(link))
                self._link = link
                opened.set_result(None)
                while True:
                    for message in await link.receive():
                        self._receive(message)
        except KafkamanError as error:
            self._fail(opened, error)
        finally:
            self._link = None
            self.news.set()  # whoever waits finds out

    def _fail(self, opened: asyncio.Future[None], error: KafkamanError) -> None:
        if not opened.done():
            opened.set_exception(error)
        for answer in self._calls.values():
            if not answer.done():
                answer.set_exception(error)

    async def _welcomed(self, link: Link) -> Welcome:
        await link.send(Hello(self._token, self.device, self._lease, self._positions))
        with _answering():
            async with asyncio.timeout(CALL_SECONDS_MAX):
                while True:
                    for message in await link.receive():
                        if isinstance(message, Goodbye):
                            raise RefusedError(message.message, code=message.code)
                        if isinstance(message, Welcome):
                            return message

    def _take(self, welcome: Welcome) -> None:
        self._lease = welcome.lease
        self.workspaces = tuple(each.id for each in welcome.workspaces)
        self._positions = tuple(
            Position(each.id, each.epochs[-1].epoch if each.epochs else "", each.head)
            for each in welcome.workspaces
        )

    def _receive(self, message: object) -> None:
        if isinstance(message, Reply):
            answer = self._calls.pop(message.id, None)
            if answer is not None and not answer.done():
                answer.set_result(message)
        elif isinstance(message, Events):
            self.news.set()
        elif isinstance(message, Goodbye):
            raise RefusedError(message.message, code=message.code)

    async def call(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Make a call; a connection that broke is replaced once."""
        for again in (False, True):
            if self._link is None:
                await self.connect()
            try:
                return await self._call(method, params)
            except LinkError:
                if again:
                    raise
        raise AssertionError("the second try returns or raises")

    async def _call(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        link = self._link
        if link is None:
            raise LinkError("The connection was closed.", code="network.dropped")
        self._last_call += 1
        number = self._last_call
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._calls[number] = answer
        try:
            await link.send(Call(number, method, params))
            with _answering():
                async with asyncio.timeout(CALL_SECONDS_MAX):
                    reply = await answer
        finally:
            self._calls.pop(number, None)
        if reply.error is not None:
            raise RefusedError.from_dict(dict(reply.error))
        return dict(reply.result or {})

    async def leave(self) -> None:
        """Sign out, and close."""
        try:
            async with asyncio.timeout(SIGN_OUT_SECONDS_MAX):
                await self.call("sign_out", {})
        finally:
            if self._reading is not None:
                self._reading.cancel()
                with suppress(asyncio.CancelledError):
                    await self._reading


@contextmanager
def _answering() -> Iterator[None]:
    """Raise LinkError `network.silent` for what has taken too long."""
    try:
        yield
    except TimeoutError:
        raise LinkError(
            f"The server took longer than {CALL_SECONDS_MAX:g} s to answer.",
            code="network.silent",
            hint="Try again.",
        ) from None


class _Thread:
    """An event loop in a thread, to which a program without one gives its work."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="replay", daemon=True)

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[_Thread]:
        """Run the loop inside the block."""
        thread = cls()
        thread._thread.start()
        try:
            yield thread
        finally:
            thread._loop.call_soon_threadsafe(thread._loop.stop)
            thread._thread.join()
            thread._loop.close()

    def begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin some work."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Do some work; who is interrupted meanwhile gives it up."""
        future = self.begin(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise


def _sign_in(thread: _Thread, url: str, credentials: Credentials) -> _Seat:
    params = {
        "user": credentials.user,
        "password": credentials.password,
        "device_name": DEVICE_NAME,
        "platform": f"{platform.system()} {platform.machine()}".strip() or "unknown",
    }
    signing = thread.begin(ask(url, "sign_in", params))
    try:
        return _Seat(url, signing.result())
    except RefusedError as error:
        raise _explained(error) from error
    except KeyboardInterrupt:
        # The server may have taken it in: then it has to be undone.
        with suppress(KafkamanError):
            _leave(thread, _Seat(url, signing.result(CALL_SECONDS_MAX)))
        raise


def _leave(thread: _Thread, seat: _Seat) -> None:
    with undisturbed():
        try:
            thread.do(seat.leave())
        except (KafkamanError, TimeoutError) as error:
            if isinstance(error, RefusedError) and error.code.startswith("device."):
                return  # somebody else has signed it out
            raise still_signed_in(DEVICE_NAME, seat.device) from error


def still_signed_in(name: str, device: str) -> ReplayError:
    """Return the error for a device of ours that could not be signed out at the end."""
    return ReplayError(
        f"The device {name!r} ({device[:8]}) could not be signed out again.",
        code="replay.still_signed_in",
        hint=f"Sign it out: kafkaman devices sign-out {device}",
        device=device,
    )


def _explained(error: RefusedError) -> RefusedError:
    devices = error.details.get("devices")
    if error.code == "auth.device_limit" and isinstance(devices, list):
        listed = ", ".join(
            f"{each.get('name')} ({str(each.get('id'))[:8]})"
            for each in devices
            if isinstance(each, dict)
        )
        error.hint = (
            f"Replay needs a place of its own for a while. Signed in are: {listed}. Sign one of "
            "them out first: kafkaman devices sign-out ID."
        )
    return error

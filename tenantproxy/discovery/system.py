"""The system's resolver (getaddrinfo: NSS, mDNS and whatever else this host has), off the loop.

getaddrinfo blocks and cannot be stopped, so each call has a daemon thread: an executor's threads
would hold up the end of the process for as long as a dead name server lets them hang.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading

from tenantproxy.discovery.slots import Slots

THREADS_EACH = 4
THREADS = 32
"""A look-up that is slow is slow for its tenant; eight such tenants leave the others DNS alone."""

Found = list[str]
WORDS = {
    socket.EAI_NONAME: "no such name",
    socket.EAI_NODATA: "no address",
    socket.EAI_AGAIN: "server failure",
    socket.EAI_FAIL: "server failure",
}


class SystemResolver:
    """Asks getaddrinfo; at most `THREADS` run, at most `THREADS_EACH` for one tenant."""

    def __init__(self) -> None:
        self._slots = Slots(each=THREADS_EACH, total=THREADS)

    async def addresses(self, name: str, *, tenant: str) -> Found:
        """Return addresses in the order of preference.

        The thread, and its slot, last as long as getaddrinfo does, also when the caller gives up.

        Raises:
            OSError, UnicodeError: nothing was found.
        """
        await self._slots.take(tenant)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Found] = loop.create_future()

        def end(found: Found, error: Exception | None) -> None:
            self._slots.give(tenant)
            if answer.done():
                return
            if error is None:
                answer.set_result(found)
            else:
                answer.set_exception(error)

        def work() -> None:
            found: Found = []
            failure: Exception | None = None
            try:
                found = look_up(name)
            except (OSError, UnicodeError) as error:
                failure = error
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(end, found, failure)

        try:
            threading.Thread(target=work, name=f"getaddrinfo {name}", daemon=True).start()
        except RuntimeError as error:  # no thread can be had
            self._slots.give(tenant)
            raise OSError(str(error)) from error
        return await answer


def look_up(name: str) -> Found:
    """Ask getaddrinfo; blocks."""
    return [str(one[4][0]) for one in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)]


def words(error: OSError | UnicodeError) -> str:
    """Return the reason for people."""
    if isinstance(error, UnicodeError):
        return "not a name"
    known = WORDS.get(error.errno or 0) if isinstance(error, socket.gaierror) else None
    return known or str(error.strerror or error)

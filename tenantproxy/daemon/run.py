"""The composition root: a document and signals in, a running proxy out."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog
import uvloop
from aiohttp import web

from tenantproxy.admin.app import make_app as make_admin_app
from tenantproxy.config.document import refused
from tenantproxy.config.load import Loaded, load_async, watched_paths
from tenantproxy.config.text import read_text
from tenantproxy.control.controller import Controller
from tenantproxy.control.facade import Control
from tenantproxy.control.tls_files import try_files
from tenantproxy.daemon import cpus, log
from tenantproxy.errors import AddressRefused, DocumentError, TenantProxyError
from tenantproxy.metrics.server import make_app as make_metrics_app
from tenantproxy.metrics.site import start_site
from tenantproxy.model.spec import ProxySpec
from tenantproxy.rollout.judges import OutsideJudges
from tenantproxy.sources.file import FileWatch
from tenantproxy.tasks import Background

_log = structlog.get_logger("tenantproxy")

OnReady = Callable[[Control], None]


def run(path: Path) -> int:
    """Run the daemon in the foreground until a signal ends it; return the exit code."""
    log.configure()
    return uvloop.run(serve(path))


async def serve(path: Path, *, on_ready: OnReady | None = None) -> int:
    """Run the daemon on this loop until SIGTERM or SIGINT.

    Returns 0 after an orderly end and 1 when a second signal cut it short.

    Raises:
        TenantProxyError: it cannot start; nothing is left running.
    """
    with _signals() as asked:
        start = asyncio.ensure_future(_start(path))
        first = asyncio.ensure_future(asked.stop.wait())
        await asyncio.wait((start, first), return_when=asyncio.FIRST_COMPLETED)
        first.cancel()
        if not start.done():
            start.cancel()
            with contextlib.suppress(asyncio.CancelledError, TenantProxyError):
                daemon = await start
                await daemon.abort()
            _log.info("stopped", reason="signal during start")
            return 0
        daemon = start.result()
        asked.on_hangup = daemon.watch.poke
        if on_ready is not None:
            on_ready(daemon.control)
        await asked.stop.wait()
        return await daemon.shutdown(asked.now)


class _Asked:
    """What signals have asked for."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.now = asyncio.Event()
        self.on_hangup: Callable[[], None] = lambda: None

    def end(self, name: str) -> None:
        """First: end in order; again: end now."""
        again = self.stop.is_set()
        _log.info("signal", signal=name, reason="end now" if again else "end in order")
        (self.now if again else self.stop).set()


@contextlib.contextmanager
def _signals() -> Iterator[_Asked]:
    loop, asked = asyncio.get_running_loop(), _Asked()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.end, number.name)
    loop.add_signal_handler(signal.SIGHUP, lambda: asked.on_hangup())
    try:
        yield asked
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)


class _Daemon:
    """Everything that runs, in the order of its making."""

    def __init__(self, path: Path, loaded: Loaded) -> None:
        self.path = path
        self.proxy = loaded.document.proxy
        self._loaded = loaded
        self._judges = OutsideJudges(commands=self.proxy.rollout_commands, folder=path.parent)
        self.control = Controller(
            self.proxy,
            workers=self.proxy.workers or cpus.granted_here(),
            document_path=str(path),
            judges=self._judges,
        )
        self.watch = FileWatch(lambda: watched_paths(path, self._loaded.document))
        self._background = Background(self._died)
        self._sites: list[web.AppRunner] = []

    async def start(self) -> None:
        """Serve admin and metrics first, so that their ports clash before anything opens."""
        try:
            await self._start_sites()
            await self.control.start(self._loaded.document, self._loaded.policies)
        except BaseException:
            await self.abort()
            raise
        self._background.start(self._follow_file(), name="file watch")
        # A full collection over ten thousand listeners stalls the loop for longer than a wake-up
        # may take; what has been made so far stays, and what follows makes few cycles.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 50, 100)

    async def shutdown(self, now: asyncio.Event) -> int:
        """Go down in order, or at once when `now` is set."""
        times = self.proxy.shutdown
        await self._background.close()
        orderly = asyncio.ensure_future(
            self.control.shutdown(keep_accepting_s=times.keep_accepting_s, drain_s=times.drain_s)
        )
        cut = asyncio.ensure_future(now.wait())
        await asyncio.wait((orderly, cut), return_when=asyncio.FIRST_COMPLETED)
        cut.cancel()
        if orderly.done():
            orderly.result()
            await self.abort()
            _log.info("stopped", reason="signal")
            return 0
        orderly.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await orderly
        await self.abort()
        _log.warning("stopped", reason="second signal")
        return 1

    async def abort(self) -> None:
        """End at once; nothing is left."""
        await self._background.close()
        self.control.end_watches()
        await self._stop_sites()  # first: a scrape reads the counters that control unmaps
        await self.control.abort()
        await self._judges.close()

    async def _start_sites(self) -> None:
        admin, metrics = self.proxy.admin, self.proxy.metrics
        token = _token(self.path, self.proxy)
        apps = (
            (make_admin_app(self.control, token=token, reload=self._reload), admin, "admin"),
            (make_metrics_app(self.control), metrics, "metrics"),
        )
        for app, where, what in apps:
            runner, port = await start_site(app, where.address, where.port, what)
            self._sites.append(runner)
            _log.info("serving", what=what, address=where.address, port=port)

    async def _stop_sites(self) -> None:
        while self._sites:
            await self._sites.pop().cleanup()

    async def _follow_file(self) -> None:
        while True:
            await self.watch.changed()
            try:
                await self._reload()
            except TenantProxyError:
                pass  # noted where it was refused
            except Exception as error:  # noqa: BLE001 - the next version may do better
                self.control.refuse_source([f"cannot be read now: {error}"], source="file")

    async def _reload(self) -> None:
        """Read the document again and apply it.

        Raises:
            TenantProxyError: it is refused; what runs stays.
        """
        try:
            loaded = await load_async(self.path)
        except DocumentError as error:
            self.control.refuse_source([str(p) for p in error.problems], source="file")
            raise
        await self.control.apply_source(loaded.document, loaded.policies, source="file")
        self._loaded = loaded

    @staticmethod
    def _died(name: str, error: BaseException) -> None:
        _log.error("internal_error", task=name, reason=repr(error))


async def _start(path: Path) -> _Daemon:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        # Two descriptors a connection and one a port: take what the host allows.
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    before = _signature(path)
    loaded = await load_async(path)
    if problems := try_files(loaded.document, path.parent):
        raise refused(read_text(path), problems, file=str(path))  # before anything is served
    daemon = _Daemon(path, loaded)
    if _signature(path) != before:
        daemon.watch.poke()  # it changed after it was read and before it was watched
    await daemon.start()
    return daemon


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None  # reading it will say why
    return found.st_mtime_ns, found.st_ino, found.st_size


def _token(path: Path, proxy: ProxySpec) -> str | None:
    if proxy.admin.token_file is None:
        return None
    file = path.parent / proxy.admin.token_file
    try:
        token = file.read_text().strip()
    except (OSError, ValueError) as error:
        raise AddressRefused(
            f"proxy.admin.token_file {file} cannot be read: {error}",
            hint="create it with one line of secret text",
        ) from error
    if not token:
        raise AddressRefused(
            f"proxy.admin.token_file {file} is empty", hint="write one line of secret text into it"
        )
    return token

"""Certificates and keys of upstreams: tried before they are used, and looked at while they are.

Files are what `stat` says of them (links followed: Kubernetes swaps a link): when that changes
they are loaded again, here for the checks and, told by a new version, in every worker. Upstreams
that name the same files share one context.
"""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tenantproxy import tls
from tenantproxy.control.events import Events
from tenantproxy.dataplane.messages import TlsOrder
from tenantproxy.errors import Problem, TlsFiles
from tenantproxy.model.spec import Document, TlsRule, UpstreamKey, UpstreamSpec

LOOK_EVERY_S = 2.0
AT_ONCE = 16
"""So many changed files are loaded in one turn of the loop: each takes milliseconds."""
GO_ON_AFTER_S = 0.05
"""The next ones are loaded so long after."""

_versions = itertools.count(1)
"""Never the same for other content, also when files are forgotten and come back."""

Signature = tuple[tuple[int, int, int] | None, ...]


class Files(NamedTuple):
    """What a context is made of; the name of the server is not."""

    ca_file: str | None
    cert_file: str | None
    key_file: str | None
    verify: bool

    @classmethod
    def of(cls, rule: TlsRule, folder: Path) -> Files:
        """Return them as whole paths; those of the document are seen from its folder."""

        def whole(name: str | None) -> str | None:
            return None if name is None else str(folder / name)

        return cls(whole(rule.ca_file), whole(rule.cert_file), whole(rule.key_file), rule.verify)

    def signature(self) -> Signature:
        """Return time, size and inode of each file; None for one that cannot be seen."""
        return tuple(_seen(path) for path in self[:3] if path is not None)


class _Loaded:
    """Files that were loaded, and what has come of them since."""

    __slots__ = ("context", "refused", "signature", "users", "version")

    def __init__(self, context: ssl.SSLContext, signature: Signature) -> None:
        self.context, self.signature = context, signature
        self.version = next(_versions)
        self.refused = ""
        """Why the files of now cannot be used; the context is the last that could be made."""
        self.users: set[UpstreamKey] = set()


def try_files(document: Document, folder: Path) -> list[Problem]:
    """Try every file that the upstreams of a document name; return why some cannot be used.

    `folder` is where the document is.
    """
    tried: dict[Files, TlsFiles | None] = {}
    problems: list[Problem] = []
    for tenant in document.tenants.values():
        for spec in tenant.upstreams.values():
            if spec.tls is None:
                continue
            files = Files.of(spec.tls, folder.absolute())
            if files not in tried:
                tried[files] = _fault(files)
            if (error := tried[files]) is not None:
                problems.append(_problem(spec, error))
    return problems


class Certificates:
    """Every TLS context of the control side; a timer runs while there are any.

    `on_change(upstream)` is called for each upstream whose files have changed and could be loaded.
    `folder` is where the document is.
    """

    def __init__(
        self, events: Events, on_change: Callable[[UpstreamKey], None], folder: Path
    ) -> None:
        self._events, self._on_change = events, on_change
        self._folder = folder.absolute()
        self._loaded: dict[Files, _Loaded] = {}
        self._used: dict[UpstreamKey, Files] = {}
        self._changed: deque[Files] = deque()
        """Those that are still to be loaded again."""
        self._timer: asyncio.TimerHandle | None = None

    def problems(self, spec: UpstreamSpec) -> list[Problem]:
        """Try the files of an upstream; return why they cannot be used, or nothing."""
        if spec.tls is None:
            return []
        try:
            self._load(Files.of(spec.tls, self._folder))
        except TlsFiles as error:
            return [_problem(spec, error)]
        return []

    def use(self, spec: UpstreamSpec) -> None:
        """Let an upstream use what its spec names, and nothing else."""
        files = None if spec.tls is None else Files.of(spec.tls, self._folder)
        if self._used.get(spec.key) == files:
            return
        self.forget(spec.key)
        if files is not None:
            loaded = self._loaded.get(files) or self._load(files)  # it was tried a moment ago
            loaded.users.add(spec.key)
            self._used[spec.key] = files

    def forget(self, key: UpstreamKey) -> None:
        """The upstream uses no files any more."""
        files = self._used.pop(key, None)
        if files is not None:
            self._loaded[files].users.discard(key)

    def context(self, spec: UpstreamSpec) -> ssl.SSLContext | None:
        """Return the context for connections to an upstream in use; None: it has no TLS."""
        return None if spec.tls is None else self._loaded[Files.of(spec.tls, self._folder)].context

    def order(self, spec: UpstreamSpec) -> TlsOrder | None:
        """Return what workers are told; they read the files by themselves."""
        if spec.tls is None:
            return None
        files = Files.of(spec.tls, self._folder)
        version = self._loaded[files].version
        return TlsOrder(server_name=spec.tls.server_name or "", version=version, **files._asdict())

    def look(self) -> None:
        """Look at every file that is in use, and forget what is not.

        Of those that have changed `AT_ONCE` are loaded; before the others are, none is looked at.
        """
        if not self._changed:
            for files, loaded in tuple(self._loaded.items()):
                if not loaded.users:
                    del self._loaded[files]
                elif files.signature() != loaded.signature:
                    self._changed.append(files)
        for _ in range(min(AT_ONCE, len(self._changed))):
            files = self._changed.popleft()
            if (known := self._loaded.get(files)) is not None:
                self._again(files, known, files.signature())

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _load(self, files: Files) -> _Loaded:
        """Return the context of the files as they are now.

        Raises:
            TlsFiles: they cannot be used.
        """
        signature = files.signature()  # before: what changes meanwhile is seen as a change
        known = self._loaded.get(files)
        if known is not None and known.signature == signature and not known.refused:
            return known
        if known is not None and known.users:
            # The others go on with what they have until the next look.
            tls.client_context(**files._asdict())
            return known
        self._loaded[files] = loaded = _Loaded(tls.client_context(**files._asdict()), signature)
        self._look_later()
        return loaded

    def _again(self, files: Files, loaded: _Loaded, signature: Signature) -> None:
        loaded.signature = signature
        try:
            loaded.context = tls.client_context(**files._asdict())
        except TlsFiles as error:
            if str(error) != loaded.refused:
                loaded.refused = str(error)
                for key in sorted(loaded.users):
                    self._note("tls_refused", key, f"{error}; the old files stay in use", "warning")
            return
        loaded.refused = ""
        loaded.version = next(_versions)
        for key in sorted(loaded.users):
            self._note("tls_reloaded", key, "the certificate files have changed")
            self._on_change(key)

    def _look_later(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            wait_s = GO_ON_AFTER_S if self._changed else LOOK_EVERY_S
            self._timer = loop.call_later(wait_s, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.look()
        if self._loaded:
            self._look_later()

    def _note(self, event: str, key: UpstreamKey, reason: str, level: str = "info") -> None:
        about = f"upstream/{key.upstream}"
        self._events.add(event, reason, tenant=key.tenant, about=about, level=level)


def _fault(files: Files) -> TlsFiles | None:
    try:
        tls.client_context(**files._asdict())
    except TlsFiles as error:
        return error
    return None


def _problem(spec: UpstreamSpec, error: TlsFiles) -> Problem:
    path = f"tenants.{spec.tenant}.upstreams.{spec.name}.tls"
    return Problem(str(error), path, hint=error.hint, code=error.code)


def _seen(path: str) -> tuple[int, int, int] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino

"""Notices that watched files say something new.

Files are looked at every half second instead of being watched by inotify:
inotify sees nothing on NFS, FUSE and some container mounts, loses its watch
when an editor or a ConfigMap replaces what it watches, and needs a library.
Looking costs one `stat` for each file; contents are read when that changed.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tenantproxy import clock

VANISHED_POLLS = 2
"""A file that is being replaced by a rename may be away for a moment."""
SETTLE_S = 0.05
"""A file that is being written is read when it rests for this long."""
SETTLE_ROUNDS = 20
"""One second: a file that never rests is read as it is."""
FRESH_S = 2.0
"""A file changed less than this ago may change again within one tick of its clock."""

Signature = tuple[int, int, int, int, int]
Contents = dict[Path, bytes]
"""Digest of each file that exists."""

_SUFFIXES = (".yaml", ".yml")


@dataclass(slots=True)
class _Seen:
    """What is known of one file: its content is read again when the signature differs."""

    signature: Signature
    digest: bytes
    fresh: bool


class FileWatch:
    """Watches the content of files, and of the YAML files in folders.

    Make it before the files are loaded: what it compares with is what they
    said then. `paths` is asked at every look, so a document that names
    other policies is followed. Missing files are watched for.
    """

    def __init__(self, paths: Callable[[], Iterable[Path]], *, poll_s: float = 0.5) -> None:
        self._paths = paths
        self._poll_s = poll_s
        self._seen: dict[Path, _Seen] = {}
        self._poked = asyncio.Event()
        self._last = self._look(distrust=True)

    def poke(self) -> None:
        """Let `changed` return now, whether anything changed or not (SIGHUP)."""
        self._poked.set()

    async def changed(self) -> bool:
        """Wait for new content (True) or for `poke` (False if nothing is new).

        Only the last content counts: a change that is taken back before
        anyone looked is none.
        """
        missing = 0
        while True:
            poked = await self._pause()
            now = await self._settled(self._look(distrust=poked))
            if not poked and self._last.keys() - now.keys() and missing < VANISHED_POLLS:
                missing += 1
                continue
            missing = 0
            is_new, self._last = now != self._last, now
            if is_new or poked:
                return is_new

    async def _pause(self) -> bool:
        """Wait for the next look; True when it was asked for."""
        try:
            async with asyncio.timeout(self._poll_s):
                await self._poked.wait()
        except TimeoutError:
            return False
        self._poked.clear()
        return True

    async def _settled(self, now: Contents) -> Contents:
        """Return the contents once two looks in a row agree, if they are new at all."""
        for _ in range(SETTLE_ROUNDS):
            if now == self._last:
                break
            await asyncio.sleep(min(SETTLE_S, self._poll_s))
            before, now = now, self._look()
            if now == before:
                break
        return now

    def _look(self, *, distrust: bool = False) -> Contents:
        files = list(dict.fromkeys(self._files()))
        found: Contents = {}
        for file in files:
            digest = self._digest(file, distrust=distrust)
            if digest is not None:
                found[file] = digest
        self._seen = {file: seen for file, seen in self._seen.items() if file in found}
        return found

    def _files(self) -> Iterator[Path]:
        for path in self._paths():
            try:
                inside = [*path.iterdir()] if path.is_dir() else None
            except OSError:
                inside = None
            if inside is None:
                yield path
                continue
            # Hidden names are editors' and ConfigMap mounts' own.
            yield from sorted(
                one for one in inside if one.suffix in _SUFFIXES and not one.name.startswith(".")
            )

    def _digest(self, file: Path, *, distrust: bool) -> bytes | None:
        """Return the digest of a file, reading it only if it may have changed."""
        try:
            signature = _signature(file)
            seen = self._seen.get(file)
            if seen is not None and seen.signature == signature and not (seen.fresh or distrust):
                return seen.digest
            digest = hashlib.blake2b(file.read_bytes(), digest_size=16).digest()
        except (OSError, ValueError):
            return None
        fresh = abs(clock.wall_s() - signature[2] / 1e9) < FRESH_S
        self._seen[file] = _Seen(signature, digest, fresh)
        return digest


def _signature(file: Path) -> Signature:
    """Return what `stat` says of the file behind all symlinks."""
    status = file.stat()
    return (
        status.st_dev,
        status.st_ino,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_size,
    )

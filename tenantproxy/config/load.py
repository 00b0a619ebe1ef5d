"""The document and its policies from disk, without holding up the loop that asks.

A large document is read by a child process: reading 10,000 listeners takes a
second of CPU and a parse tree of tens of MiB. The child takes both with it;
what comes back is values in MessagePack, in parts small enough that decoding
one never holds up the loop.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import tenantproxy
from tenantproxy.config.document import parse_document
from tenantproxy.config.explain import error_of
from tenantproxy.config.parcel import Parcel, unpack
from tenantproxy.config.policies import load_policies, policy_files
from tenantproxy.config.text import read_text
from tenantproxy.errors import DocumentError, Problem
from tenantproxy.model.spec import Document, PolicySpec, ProxySpec

IN_PLACE_BYTES = 128 * 1024
"""Read in a few tens of milliseconds: quicker than a child starts."""
PIPE_BYTES = 64 * 1024
HEAD = 4
"""Bytes of a frame's length, see `parcel`."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A document and the policies that it names."""

    document: Document
    policies: tuple[PolicySpec, ...]


def load(path: Path) -> Loaded:
    """Return the document at `path` and its policies.

    Raises:
        DocumentError: carries the problems of the document, or of its policies.
    """
    document = parse_document(read_text(path), file=str(path))
    return Loaded(document, load_policies(document.proxy.policies, base=path.parent))


async def load_async(path: Path) -> Loaded:
    """Do as `load`, in a child process if the file is large; cancelled, it leaves nothing.

    Raises:
        DocumentError: as `load`.
    """
    if _size_bytes(path) < IN_PLACE_BYTES:
        return load(path)
    return await _from_child(str(path), None)


async def parse_document_async(text: str, *, file: str | None = None) -> Document:
    """Do as `document.parse_document`, in a child process if the text is large.

    Raises:
        DocumentError: carries every problem with line and column.
    """
    if len(text) < IN_PLACE_BYTES:
        return parse_document(text, file=file)
    return (await _from_child("", text, *filter(None, [file]))).document


def watched_paths(path: Path, document: Document | None) -> list[Path]:
    """Return the files and folders whose change may change what `load` returns.

    `document` is the last one that was sound; None before there is one.
    """
    proxy = ProxySpec() if document is None else document.proxy
    return [path, *policy_files(proxy.policies, base=path.parent)]


async def _from_child(path: str, text: str | None, *names: str) -> Loaded:
    parcel = Parcel()
    with _child(text, path, *names) as child:
        assert child.stdout is not None  # noqa: S101 - asked for in _child
        await _receive(child.stdout.fileno(), parcel)
        if parcel.whole:
            child.kill()  # it has nothing more to do than to take its memory down
        while (code := child.poll()) is None:
            await asyncio.sleep(0.005)
    if not parcel.whole:
        raise _child_died(path or "document", code)
    if parcel.problems:
        raise error_of(parcel.problems)
    assert parcel.proxy is not None  # noqa: S101 - whole, and without problems
    return Loaded(Document(parcel.proxy, parcel.tenants), tuple(parcel.policies))


async def _receive(fd: int, parcel: Parcel) -> None:
    """Take frames until the last; a child that ends early leaves the parcel not whole."""
    os.set_blocking(fd, False)
    waiting = bytearray()
    while not parcel.whole:
        try:
            data = os.read(fd, PIPE_BYTES)
        except BlockingIOError:
            await _readable(fd)
            continue
        if not data:
            return
        waiting += data
        while len(waiting) >= HEAD and len(waiting) - HEAD >= int.from_bytes(waiting[:HEAD]):
            end = HEAD + int.from_bytes(waiting[:HEAD])
            unpack(bytes(waiting[HEAD:end]), parcel)
            del waiting[:end]
            await asyncio.sleep(0)


async def _readable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(fd, _set, ready)
    try:
        await ready
    finally:
        loop.remove_reader(fd)


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


@contextmanager
def _child(text: str | None, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start the reader, with `text` to read at stdin; when the context ends it is gone.

    A plain process, not one of the loop: uvloop loses one whose start is
    cancelled. There is nothing to await here, so nothing can be cancelled;
    starting takes about a millisecond, and the wait is for a killed process.
    """
    root = str(Path(tenantproxy.__file__).parent.parent)
    search = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    module = "tenantproxy.config.load_child"
    # -P: the folder we were started in is no place to import from.
    command = [sys.executable, "-P", "-m", module, str(os.getpid()), *arguments]
    with _stdin(text) as stdin:
        child = subprocess.Popen(  # noqa: S603 - our own program
            command,
            stdin=stdin,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, "PYTHONPATH": search},
        )
    with child:
        try:
            yield child
        finally:
            child.kill()


@contextmanager
def _stdin(text: str | None) -> Iterator[IO[bytes] | int]:
    """Put the text where a child can read it at its own pace, without a pipe to feed."""
    if text is None:
        yield subprocess.DEVNULL
        return
    with open(os.memfd_create("document"), "wb") as file:  # noqa: PTH123 - it has no path
        file.write(text.encode("utf-8", "surrogatepass"))
        file.seek(0)
        yield file


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return 0  # `load` says what is wrong


def _child_died(path: str, code: int) -> DocumentError:
    message = f"the process that read the document ended with code {code}"
    hint = "look for a lack of memory; what runs stays as it is"
    return DocumentError((Problem(message, "", path, hint=hint, code="unreadable"),))

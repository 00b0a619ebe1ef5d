"""The document and its policies from disk, without holding up the loop that asks.

A large document is read by a child process: reading 10,000 listeners takes a
second of CPU and a parse tree of tens of MiB. The child takes both with it;
what comes back is values in MessagePack, in parts small enough that decoding
one never holds up the loop.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

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
    async with _child(path, *names) as child:
        await asyncio.gather(_feed(child, text), _receive(child, parcel))
        code = await child.wait()
    if parcel.problems:
        raise error_of(parcel.problems)
    if parcel.proxy is None or not parcel.whole:
        raise _child_died(path, code)
    return Loaded(Document(parcel.proxy, parcel.tenants), tuple(parcel.policies))


async def _feed(child: asyncio.subprocess.Process, text: str | None) -> None:
    assert child.stdin is not None  # noqa: S101 - asked for in _child
    if text is not None:
        child.stdin.write(text.encode("utf-8", "surrogatepass"))
        with suppress(ConnectionError):  # it died, which `_receive` sees too
            await child.stdin.drain()
    child.stdin.close()


async def _receive(child: asyncio.subprocess.Process, parcel: Parcel) -> None:
    """Take frames until the last; a child that ends early leaves the parcel not whole."""
    assert child.stdout is not None  # noqa: S101 - asked for in _child
    try:
        while not parcel.whole:
            length = int.from_bytes(await child.stdout.readexactly(4))
            unpack(await child.stdout.readexactly(length), parcel)
    except asyncio.IncompleteReadError:
        return


@asynccontextmanager
async def _child(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start the reader; when the context ends it is gone, whatever happened."""
    root = str(Path(tenantproxy.__file__).parent.parent)
    search = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # the folder we were started in is no place to import from
            "-m",
            "tenantproxy.config.load_child",
            str(os.getpid()),
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": search},
        )
    )
    try:
        yield await asyncio.shield(starting)
    finally:
        await asyncio.shield(_end(starting))


async def _end(starting: asyncio.Future[asyncio.subprocess.Process]) -> None:
    """Kill the child and wait for it, also if it is only just being started.

    Called shielded: uvloop forgets a child whose start is cancelled, and
    whoever cancels twice must not leave a zombie either.
    """
    child = await starting
    if child.returncode is None:
        child.kill()
        await child.wait()


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return 0  # `load` says what is wrong


def _child_died(path: str, code: int) -> DocumentError:
    message = f"the process that read the document ended with code {code}"
    hint = "look for a lack of memory; what runs stays as it is"
    return DocumentError((Problem(message, "", path, hint=hint, code="unreadable"),))

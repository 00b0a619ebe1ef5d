"""Files become text, and what stands in the way becomes a problem."""

from __future__ import annotations

from pathlib import Path

from tenantproxy.errors import DocumentError, Problem

MAX_BYTES = 64 * 1024 * 1024
"""More than 300,000 listeners; above, someone named the wrong file."""


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file, without a byte order mark.

    Raises:
        DocumentError: it is missing, unreadable, too large or not UTF-8.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise _unreadable(path, "there is no such file", "check the path") from None
    except IsADirectoryError:
        raise _unreadable(path, "this is a folder", "name a file inside of it") from None
    except PermissionError:
        hint = "let the user of the daemon read it"
        raise _unreadable(path, "the file may not be read", hint) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise _unreadable(path, f"the file cannot be read: {why}", "check the path") from None
    if len(data) > MAX_BYTES:
        limit = f"the file is larger than {MAX_BYTES >> 20} MiB"
        raise _unreadable(path, limit, "check the path; no document is that large")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_utf8(path, data, error.start) from None


def _not_utf8(path: Path, data: bytes, at: int) -> DocumentError:
    before = data[:at]
    line = before.count(b"\n") + 1
    column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
    message = f"the byte 0x{data[at]:02x} is not UTF-8 text"
    hint = "save the file as UTF-8"
    return DocumentError((Problem(message, "", str(path), line, column, hint, "unreadable"),))


def _unreadable(path: Path, message: str, hint: str) -> DocumentError:
    return DocumentError((Problem(message, "", str(path), hint=hint, code="unreadable"),))

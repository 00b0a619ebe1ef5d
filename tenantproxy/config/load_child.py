"""The short-lived process that reads a large document: `load_child PARENT_PID PATH [NAME]`.

With an empty path the text comes from stdin, NAME is how it is called in
problems, and policies are not read.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
from pathlib import Path

from tenantproxy.config.document import parse_document
from tenantproxy.config.load import Loaded, load
from tenantproxy.config.parcel import pack, pack_problems
from tenantproxy.errors import DocumentError

_PR_SET_PDEATHSIG = 1


def main(parent_pid: int, path: str, name: str | None) -> None:
    """Write the frames of `parcel` to stdout; be gone as soon as the parent is."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        return  # it ended before the line above
    gc.disable()  # nothing becomes garbage before this process does
    try:
        loaded = _from_stdin(name) if not path else load(Path(path))
        frames = pack(loaded.document, loaded.policies)
    except DocumentError as error:
        frames = pack_problems(error.problems)
    try:
        for frame in frames:
            sys.stdout.buffer.write(frame)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os._exit(1)  # nobody listens any more; the interpreter must not complain at its end


def _from_stdin(name: str | None) -> Loaded:
    text = sys.stdin.buffer.read().decode("utf-8", "surrogatepass")
    return Loaded(parse_document(text, file=name), ())


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None)  # noqa: PLR2004

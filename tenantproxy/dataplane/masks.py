"""What the pump asks of the kernel, and what it may hear: masks of epoll(7), flags of send(2)."""

from __future__ import annotations

import select
import socket
from errno import EFAULT, ENOBUFS, ENOMEM

IN, OUT, RDHUP = select.EPOLLIN, select.EPOLLOUT, select.EPOLLRDHUP
GONE = select.EPOLLERR | select.EPOLLHUP
READ = IN | RDHUP | select.EPOLLPRI | select.EPOLLET
"""Mask of a half that is only read. Being edge-triggered saves an `epoll_ctl` at each end of
input, and a second look of the epoll at everything that was just read."""
LAST = IN | RDHUP
"""Events of a half whose remote end has said FIN, and which is otherwise well."""
DONTWAIT = socket.MSG_DONTWAIT
WITH_FIN = socket.MSG_DONTWAIT | socket.MSG_MORE
"""Flags of a send that is followed by a FIN: both travel in one packet."""
NO_MEMORY = frozenset((ENOBUFS, ENOMEM, EFAULT))
"""What a send may say when the kernel is short of memory for TCP; the connection is well. EFAULT
comes of sockets whose account is overdrawn, as in a sockmap: the part of a message for which there
is room, tcp_wmem_schedule, is then below 0 (Linux 6.18)."""

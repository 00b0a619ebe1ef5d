"""What the live screen prints for a given rollout, in terminals of all kinds."""

import fcntl
import io
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest
from rich.console import Console

from tenantproxy.admin.rollout_views import whole_rollout
from tenantproxy.cli.rollout_screen import screen
from tenantproxy.model.rollout import Phase
from tests.cli.conftest import ROOT
from tests.support_control import WEB
from tests.support_rollouts import running

NOW_S = 1_000_000.0
EVENT = {
    "number": 7,
    "at": "1970-01-12T13:46:35.000Z",
    "event": "rollout_step",
    "tenant": "acme",
    "object": "listener/web",
    "reason": "step 2 of 4: 25% for 5m",
    "details": {},
}


def printed(width=80, height=60, *, events=(EVENT,), colour=False, **fields):
    out = io.StringIO()
    console = Console(
        file=out,
        width=width,
        height=height,
        no_color=not colour,
        force_terminal=colour,
        color_system="standard" if colour else None,
        highlight=False,
        markup=False,
        emoji=False,
        _environ={},
    )
    item = whole_rollout(running(WEB, NOW_S, **fields))
    console.print(screen(item, events, NOW_S, console))
    return out.getvalue().rstrip("\n").split("\n")


def test_it_says_all_that_status_says_and_what_happened_of_late():
    text = "\n".join(printed())
    for part in (
        "acme/web   web-v1 -> web-v2   running   step 2 of 4: 25% for 5m",
        "Next:        in 1m40s at the earliest",
        "[>]   2   25% for 5m",
        "failed    resets",
        "web-v1 (stable)   web-v2 (canary)",
        "5s   rollout_step   acme/web   step 2 of 4: 25% for 5m",
    ):
        assert part in text, part


def test_eighty_columns_are_enough_and_long_reasons_go_on_in_the_next_line():
    lines = printed(events=[EVENT | {"reason": "many words " * 20}])
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert text.count("many") == 20
    assert re.search(r"first_byte_p99 +180ms +- +at most 250ms", text)


@pytest.mark.parametrize("width", [20, 40, 79])
def test_a_narrower_terminal_is_not_overrun(width):
    assert max(map(len, printed(width))) <= width


def test_a_terminal_of_24_lines_has_room_for_both_sides_the_steps_and_what_did_not_pass():
    lines = printed(height=24)
    text = "\n".join(lines)
    assert len(lines) <= 24
    for part in (
        "[x] 5%  [>] 25%  [ ] pause  [ ] 50%  [ ] 100%",
        "Next:        in 1m40s at the earliest",
        "Weight:      25% wanted, 24.6% seen",
        "web-v1 (stable)   web-v2 (canary)",
        "resets            0.1%              5.2%              at most 2% over stable",
        "failed    resets           1 failure   canary 5.2% of 480",
    ):
        assert part in text.replace("\N{NO-BREAK SPACE}", " "), part
    assert "duration_p50" not in text  # nobody judges it


@pytest.mark.parametrize("height", [1, 5, 12, 24, 30])
def test_what_does_not_fit_is_left_out_from_the_end(height):
    lines, whole = printed(height=height), printed(height=31)
    assert len(lines) <= height
    assert [line.split() for line in lines] == [line.split() for line in whole[: len(lines)]]
    assert len(lines) >= min(height, 8) - 2


def test_without_events_there_is_no_section_of_them():
    assert "Recent events" not in "\n".join(printed(events=()))


def test_colour_is_sent_only_where_it_is_wanted():
    assert "\x1b" not in "\n".join(printed())
    assert "\x1b[31mfailed" in "\n".join(printed(colour=True))


class Terminal:
    """A command on a terminal of its own; what it writes is read as it comes."""

    def __init__(self, *arguments, **environment):
        self.fd, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 100, 0, 0))
        clean = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tenantproxy", *arguments],
            cwd=ROOT,
            env={**clean, "TERM": "xterm", **environment},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.text = ""

    def until(self, wanted):
        deadline = time.monotonic() + 30
        while wanted not in self.text:
            assert time.monotonic() < deadline, self.text
            self._read(0.2)

    def end(self, number=None):
        if number is not None:
            self.process.send_signal(number)
        deadline = time.monotonic() + 30
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.text
            self._read(0.2)
        while self._read(0.1):
            pass
        return self.process.returncode

    def _read(self, wait_s):
        if not select.select([self.fd], [], [], wait_s)[0]:
            return False
        try:
            data = os.read(self.fd, 65_536)
        except OSError:  # the other end is closed
            return False
        self.text += data.decode()
        return bool(data)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.fd)


ENTER, LEAVE, CURSOR = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25h"


def test_on_a_terminal_it_is_drawn_again_as_it_moves_and_ctrl_c_gives_the_terminal_back(remote):
    remote.roll()
    command = ("--server", remote.url, "rollout", "status", "acme/web", "--watch")
    with Terminal(*command) as terminal:
        terminal.until("step 2 of 4: 25% for 5m")
        assert ENTER in terminal.text
        remote.do(lambda: remote.tell("rollout_paused", "asked to", phase=Phase.PAUSED, step=3))
        terminal.until("step 3 of 4: pause until resumed")
        terminal.until("rollout_paused")
        seen = len(terminal.text)
        remote.do(lambda: remote.control.rolling.set(WEB, waits_for="nobody told of this"))
        terminal.until("nobody told of this")  # by the clock, without an event
        assert len(terminal.text) > seen
        assert terminal.end(signal.SIGINT) == 0
        assert terminal.text.rindex(LEAVE) > terminal.text.rindex(ENTER)
        assert CURSOR in terminal.text
        assert "Traceback" not in terminal.text


def test_no_color_means_none_on_a_terminal_too(remote):
    remote.roll()
    command = ("--server", remote.url, "rollout", "status", "acme/web")
    with Terminal(*command) as terminal:
        assert terminal.end() == 0
        assert "\x1b[3" in terminal.text
    with Terminal(*command, NO_COLOR="1") as terminal:
        assert terminal.end() == 0
        assert not re.search("\x1b\\[[0-9;]*3[0-9]m", terminal.text)
        assert "Both sides" in terminal.text


def test_a_terminal_without_a_cursor_gets_lines(remote):
    remote.roll()
    command = ("--server", remote.url, "rollout", "status", "acme/web", "--watch")
    with Terminal(*command, TERM="dumb") as terminal:
        terminal.until("acme/web   web-v1 -> web-v2   running")
        assert terminal.end(signal.SIGINT) == 0
        assert ENTER not in terminal.text


def test_with_wait_the_page_of_the_end_stays_on_the_terminal(remote):
    remote.roll()
    command = ("--server", remote.url, "rollout", "status", "acme/web", "--watch", "--wait")
    with Terminal(*command) as terminal:
        terminal.until("25% for 5m")
        remote.do(
            lambda: remote.tell("rollout_rolled_back", "resets", phase=Phase.ROLLED_BACK, step=2)
        )
        assert terminal.end() == 1
        after = terminal.text[terminal.text.rindex(LEAVE) :]
        assert "rolled_back" in after
        assert "Both sides" in after


def test_when_the_daemon_goes_the_terminal_is_given_back_and_the_error_is_told(remote):
    remote.roll()
    command = ("--server", remote.url, "rollout", "status", "acme/web", "--watch")
    with Terminal(*command) as terminal:
        terminal.until("25% for 5m")
        remote.do(remote.control.end)
        assert terminal.end() == 1
        after = terminal.text[terminal.text.rindex(LEAVE) :]
        assert "ended the stream of events" in after


def test_json_on_a_terminal_is_json(remote):
    remote.roll()
    with Terminal("--server", remote.url, "rollout", "status", "acme/web", "-o", "json") as one:
        assert one.end() == 0
        assert json.loads(one.text)["state"] == "running"

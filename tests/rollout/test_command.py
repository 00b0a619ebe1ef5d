"""A program judges by its exit code, is told what it needs, and leaves nothing behind."""

import asyncio
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from tenantproxy.errors import NoVerdict
from tenantproxy.rollout import command as ours
from tenantproxy.rollout.command import MOST_BYTES, Commands
from tests.rollout.support import ABOUT, PLENTY_S, command


@pytest.fixture
async def commands(tmp_path):
    made = Commands(tmp_path)
    yield made
    await made.close()


def shell(script, **fields):
    return command("sh", "-c", script, **fields)


async def no_verdict(asking):
    with pytest.raises(NoVerdict) as caught:
        await asking
    return str(caught.value)


async def until_dead(pid):
    """Wait until a process is gone; if it is not our child that is for others to see."""
    until = time.monotonic() + PLENTY_S
    while Path(f"/proc/{pid}").exists() and _state(pid) != "Z":
        assert time.monotonic() < until, "it lives on"
        await asyncio.sleep(0.02)


def _state(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return "Z"


async def until_written(path):
    until = time.monotonic() + PLENTY_S
    while not (path.exists() and path.read_text().endswith("\n")):
        assert time.monotonic() < until
        await asyncio.sleep(0.02)
    return path.read_text().split()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 0", ("passed", "exit code 0")),
        ("exit 1", ("failed", "exit code 1")),
        ("echo first; echo all is well; echo; exit 0", ("passed", "all is well")),
        ("echo fine; echo 7 of 9 fail >&2; exit 1", ("failed", "7 of 9 fail")),
        (r"printf '\033[31mred\r\n\0\377 x'; exit 1", ("failed", "\ufffd x")),
        ("printf 'a%.0s' $(seq 9000)", ("passed", "a" * 197 + "...")),
    ],
)
async def test_the_code_is_the_verdict_and_the_last_line_the_reason(commands, script, said):
    assert await commands.ask(shell(script), ABOUT) == said


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo oops; exit 2", "exit code 2: oops"),
        ("exit 127", "exit code 127"),
        ("kill -TERM $$", "ended by SIGTERM"),
        ("kill -34 $$", "ended by SIGRTMIN"),
        ("kill -40 $$", "ended by signal 40"),
    ],
)
async def test_any_other_end_is_no_verdict(commands, script, why):
    assert await no_verdict(commands.ask(shell(script), ABOUT)) == why


@pytest.mark.parametrize(
    ("run", "why"),
    [
        (("nowhere-to-be-found",), "nowhere-to-be-found cannot be run: No such file or directory"),
        (("./data",), "./data cannot be run: Permission denied"),
        (("sh", "a\0b"), "sh cannot be run: it has a zero byte"),
    ],
)
async def test_what_cannot_be_run_is_no_verdict(commands, tmp_path, run, why):
    (tmp_path / "data").write_text("not a program")
    assert await no_verdict(commands.ask(command(*run), ABOUT)) == why


async def test_nothing_to_run_is_no_verdict(commands):
    assert await no_verdict(commands.ask(command(), ABOUT)) == "it names no program"


async def test_a_folder_that_is_gone_is_no_verdict(tmp_path):
    commands = Commands(tmp_path / "gone")
    assert "cannot be run" in await no_verdict(commands.ask(command("true"), ABOUT))


async def test_it_runs_in_the_folder_and_is_found_from_there(commands, tmp_path):
    program = tmp_path / "bin" / "check"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$(pwd) $1"\n')
    program.chmod(0o755)
    said = await commands.ask(command("bin/check", "with blanks; and $HOME"), ABOUT)
    assert said == ("passed", f"{tmp_path.resolve()} with blanks; and $HOME")


async def test_it_is_told_about_the_rollout_and_nothing_of_the_daemon(
    commands, tmp_path, monkeypatch
):
    monkeypatch.setenv("DATABASE_PASSWORD", "s3cret")
    monkeypatch.setenv("LANG", "C.UTF-8")
    await commands.ask(shell("env > out"), ABOUT)
    told = dict(line.split("=", 1) for line in (tmp_path / "out").read_text().splitlines())
    for name in ("PWD", "OLDPWD", "SHLVL", "_"):  # of the shell itself
        told.pop(name, None)
    assert told == {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "TENANTPROXY_TENANT": "acme",
        "TENANTPROXY_LISTENER": "web",
        "TENANTPROXY_STABLE": "web-v1",
        "TENANTPROXY_CANARY": "web-v2",
        "TENANTPROXY_STATE": "running",
        "TENANTPROXY_STEP": "2",
        "TENANTPROXY_WEIGHT": "25",
        "TENANTPROXY_CHECK": "mine",
    }


@pytest.fixture
def terminal():
    """Let our standard input be one that somebody could type into."""
    kept, (reading, writing) = os.dup(0), os.pipe()
    os.dup2(reading, 0)
    yield
    os.dup2(kept, 0)
    for fd in (kept, reading, writing):
        os.close(fd)


async def test_it_reads_nothing_and_has_no_descriptor_of_ours(commands, terminal):
    # Were it our input, `cat` would wait for somebody to type.
    script = "cat; ls /proc/self/fd | grep -vxE '[0-3]'; exit 0"
    assert await commands.ask(shell(script), ABOUT) == ("passed", "exit code 0")


async def test_at_the_end_of_its_time_its_whole_group_is_killed(commands, tmp_path):
    script = "sleep 600 & echo $$ $! > pids; sleep 600"
    asking = asyncio.ensure_future(commands.ask(shell(script), ABOUT))
    pids = await until_written(tmp_path / "pids")
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    for pid in pids:
        await until_dead(int(pid))


async def test_what_it_leaves_in_the_background_is_killed_when_it_ends(commands, tmp_path):
    began = time.monotonic()
    script = "sleep 600 & echo $! > pid; echo well"
    assert await commands.ask(shell(script), ABOUT) == ("passed", "well")
    assert time.monotonic() - began < PLENTY_S  # the pipe is still open there: nobody waits for it
    await until_dead(int((tmp_path / "pid").read_text()))


@pytest.fixture
def reads(monkeypatch):
    """Count the bytes of each read."""
    sizes = []

    def read(fd, most):
        piece = os.read(fd, most)
        sizes.append(len(piece))
        return piece

    watched = SimpleNamespace(**{name: getattr(os, name) for name in dir(os)} | {"read": read})
    monkeypatch.setattr(ours, "os", watched)
    return sizes


async def test_one_that_closes_its_output_and_goes_on_is_waited_for(commands, reads):
    said = await commands.ask(shell("echo bye; exec >&- 2>&-; sleep 0.3; exit 1"), ABOUT)
    assert said == ("failed", "bye")
    assert len(reads) <= 4, "its end was read over and over"


async def test_one_that_does_not_stop_talking_is_ended(commands, reads):
    why = await no_verdict(commands.ask(command("yes"), ABOUT))
    assert why == "said more than 1 MiB and was ended"
    assert sum(reads) <= 2 * MOST_BYTES


async def test_one_that_says_much_but_not_too_much_is_read_to_its_end(commands):
    script = "head -c 1000000 /dev/zero | tr '\\0' 'x'; echo; echo done"
    assert await commands.ask(shell(script), ABOUT) == ("passed", "done")


async def test_a_program_that_ignores_signals_is_killed_all_the_same(commands, tmp_path):
    script = "trap '' TERM INT HUP; echo $$ > pid; while :; do sleep 1; done"
    asking = asyncio.ensure_future(commands.ask(shell(script), ABOUT))
    (pid,) = await until_written(tmp_path / "pid")
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await until_dead(int(pid))


async def test_when_closed_nothing_runs(tmp_path):
    commands = Commands(tmp_path)
    asking = [asyncio.ensure_future(commands.ask(command("sleep", 600), ABOUT)) for _ in range(3)]
    await asyncio.sleep(0)
    await commands.close()
    assert not commands._running
    for one in asking:
        assert await no_verdict(one) == "ended by SIGKILL"


async def test_one_that_cannot_be_watched_is_ended(commands, monkeypatch):
    def none_left(pid):
        seen.append(pid)
        raise OSError(24, "Too many open files")

    seen = []
    monkeypatch.setattr(ours.os, "pidfd_open", none_left)
    asking = commands.ask(command("sleep", 600), ABOUT)
    assert await no_verdict(asking) == "cannot watch it: Too many open files"
    with pytest.raises(ProcessLookupError):
        os.kill(seen[0], signal.SIGCONT)

"""Results, messages and the live display share a terminal, and nothing is lost."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.command import PATIENCE, environment, records, start
from support.loopback import Loopback
from support.terminal import Terminal, terminal

PROMPT = "$ tmux-fanout -e merge n20"
COLUMNS = [40, 60, 80, 200]
HEADLINE = "of about 20"


class Permits:
    """Echoes the records as the test allows it, in their order."""

    def __init__(self, server: Loopback) -> None:
        self._allowed = 0
        self._changed = threading.Condition()
        server.replies["/"] = self._reply

    def _reply(self, body: bytes) -> tuple[int, bytes]:
        index = json.loads(body)["id"]
        with self._changed:
            assert self._changed.wait_for(lambda: index < self._allowed, PATIENCE)
        return 200, body

    def give(self, count: int) -> None:
        """Answer so many more records."""
        with self._changed:
            self._allowed += count
            self._changed.notify_all()


@pytest.fixture
def n20(tmp_path: Path) -> str:
    """Return the path of a file with 20 records."""
    path = tmp_path / "n20"
    path.write_bytes(records(20))
    return str(path)


@contextmanager
def pipe() -> Iterator[tuple[int, io.FileIO]]:
    """Yield the two ends of a pipe."""
    reader, end = os.pipe()
    with io.FileIO(end, "wb") as writer:
        yield reader, writer
    os.close(reader)


def line(index: int) -> str:
    """Return the line of a record."""
    return f'{{"id":{index},"s":{{"id": {index}}}}}'


def displays(text: str) -> Callable[[Terminal], bool]:
    """Return whether a terminal shows a text on its screen, lines being broken anywhere."""
    return lambda term: text in " ".join(term.on_screen)


def pause_left(term: Terminal) -> str:
    """Return the seconds that the display says a pause still lasts, or nothing."""
    found = re.search(r"score: paused by Retry-After, (\d+) s left", " ".join(term.on_screen))
    return found[1] if found else ""


def assert_whole(term: Terminal, *texts: str) -> None:
    """Every text stands in the terminal once, and nothing is left of the display."""
    assert {text: term.count(text) for text in texts} == dict.fromkeys(texts, 1), term.text
    assert HEADLINE not in term.text


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("resized", [(), (80, 40, 200), (200, 100, 60)], ids=str)
def test_no_line_is_lost_beside_the_display(
    server: Loopback, n20: str, columns: int, resized: tuple[int, ...]
) -> None:
    """Prompt, results and summary stand there once and whole, however the terminal is resized."""
    permits = Permits(server)
    with terminal(columns, 12) as term:
        term.shows(f"{PROMPT}\n")
        term.start("-a", f"s={server.url()}", "-l", "5", "-e", "merge", n20)
        term.wait_until(displays("0 records written"))
        for step, size in enumerate((*resized, columns, columns, columns)[:3], 1):
            permits.give(6)
            term.wait_until(displays(f"{step * 6} records written"))
            term.resize(size, 12 + 4 * (-1) ** step)
        permits.give(2)
        assert term.wait() == 0
        term.shows("$ ")
        assert_whole(term, PROMPT, *map(line, range(20)), "20 records: 20 ok, 0 not ok")
        assert term.on_screen[-1] == "" or term.rows[-1] == "$"


def test_row_that_the_cursor_is_in_stays(server: Loopback, n20: str) -> None:
    """A script may have written something without a line break before the run."""
    permits = Permits(server)
    with terminal(40) as term:
        term.shows("scoring: ")
        term.start("-a", f"s={server.url()}", "-e", "merge", n20)
        term.wait_until(displays("0 records written"))
        permits.give(20)
        assert term.wait() == 0
        assert term.rows[:2] == ["scoring:", line(0)]
        assert_whole(term, *map(line, range(20)))


@pytest.mark.parametrize("columns", COLUMNS)
def test_message_of_a_signal_stays(server: Loopback, n20: str, columns: int) -> None:
    """The first Ctrl-C is answered by a message, and the display says what is still open."""
    permits = Permits(server)
    with terminal(columns, 16) as term:
        term.shows(f"{PROMPT}\n")
        term.start("-a", f"s={server.url()}", "-l", "5", "--window", "10", "-e", "merge", n20)
        term.wait_until(displays("0 records written"))
        permits.give(5)
        term.wait_until(displays("5 records written"))
        term.press("C", signal.SIGINT)
        term.wait_until(displays("5 requests in flight"))
        shown = " ".join(term.on_screen)
        assert re.search(r"SIGINT: \d+ records still open, 5 requests in flight, ", shown)
        assert re.search(r"(30|2\d) s until they are cancelled", shown)
        permits.give(20)
        assert term.wait() == 130
        message = (
            "SIGINT: reading has stopped; records in progress have 30s to finish; a second signal"
        )
        results = [line(i) for i in range(20) if term.count(line(i))]
        assert len(results) >= 10
        assert_whole(term, PROMPT, *results)
        assert re.sub(r"\s+", "", message) in re.sub(r"\s+", "", term.text)


def test_keyboard_and_other_programs_do_not_lose_lines(server: Loopback, n20: str) -> None:
    """What others write to the terminal, such as the next program in a pipe, is not erased."""
    permits = Permits(server)
    with terminal(60, 12) as term:
        term.start("-a", f"s={server.url()}", "-l", "5", "-o", "/dev/null", n20)
        for step in range(3):
            term.wait_until(displays(f"{step * 6} records written"))
            term.write(f"line {step} of another program\n")
            term.type(b"typed\r")
            permits.give(6)
        permits.give(2)
        assert term.wait() == 0
        assert [term.count(f"line {step} of another program") for step in range(3)] == [1, 1, 1]


@pytest.mark.parametrize("command", ["run", "explain"])
def test_run_says_that_it_awaits_typed_records(server: Loopback, command: str) -> None:
    """Otherwise it would seem to hang; with -q, or a file, nothing is said."""
    notice = "tmux-fanout: reading records from the terminal; Ctrl-D ends"
    with terminal(80) as term:
        term.start(command, "-a", f"s={server.url()}")
        term.wait_until(displays(notice))
        term.type(b'{"id": 1}\r\x04')
        assert term.wait() == 0
        assert term.count(notice) == 1
        term.start(command, "-q", "-a", f"s={server.url()}")
        term.type(b'{"id": 2}\r\x04')
        assert term.wait() == 0
        term.start(command, "-a", f"s={server.url()}", "/dev/null")
        assert term.wait() == 0
        assert term.count(notice) == 1


@pytest.mark.parametrize(
    "env", [{"TERM": "dumb"}, {"TERM": ""}, {"TERM": "xterm", "CI": "true"}], ids=str
)
def test_no_display_where_it_cannot_or_should_not_be(
    server: Loopback, n20: str, env: dict[str, str]
) -> None:
    """A dumb terminal and a build server get results and a summary, without control characters."""
    with terminal(80) as term:
        term.start(
            "-a", f"s={server.url()}", "-e", "merge", n20, env=environment(**{"CI": "", **env})
        )
        assert term.wait() == 0
        assert "\x1b" not in term.received
        assert_whole(term, *map(line, range(20)), "20 records: 20 ok, 0 not ok")


def test_progress_can_be_asked_for(server: Loopback, n20: str) -> None:
    """`--progress` draws on a build server with a terminal, but not on a dumb one."""
    permits = Permits(server)
    with terminal(80) as term:
        env = environment(TERM="xterm", CI="1", NO_COLOR="1")
        term.start("-a", f"s={server.url()}", "--progress", "-e", "merge", n20, env=env)
        term.wait_until(displays("0 records written"))
        permits.give(20)
        assert term.wait() == 0
        assert "\x1b[" in term.received
        assert not re.search(r"\x1b\[[\d;]*m", term.received)


def test_no_records_and_unknown_totals_are_shown(server: Loopback) -> None:
    """An empty input and a pipe without an end have no percentage and no time left."""
    permits = Permits(server)
    with terminal(80) as term, pipe() as (reader, writer):
        term.start("-a", f"s={server.url()}", "-e", "merge", stdin=reader)
        term.wait_until(displays("0 records written, 0/s, 0 records read waiting for input"))
        writer.write(records(1))
        term.wait_until(displays("0 records written, 0/s, 1 record read API"))
        permits.give(1)
        term.wait_until(displays("1 record written"))
        writer.close()
        assert term.wait() == 0
        assert_whole(term, line(0))
        term.start("-a", f"s={server.url()}", "/dev/null")
        assert term.wait() == 0
        assert_whole(term, "0 records: 0 ok, 0 not ok")


def test_ctrl_z_leaves_the_terminal_to_the_shell(server: Loopback, n20: str) -> None:
    """The display is gone while the run is stopped, and back afterwards."""
    permits = Permits(server)
    script = 'set -m; "$@"; echo "[stopped]"; fg > /dev/null; echo "[done $?]"'
    with terminal(60, 16) as term:
        args = ("-a", f"s={server.url()}", "-e", "merge", n20)
        term.start(*args, within=("sh", "-c", script, "sh"))
        term.wait_until(displays("0 records written"))
        term.press("Z", signal.SIGTSTP)
        term.wait_until(displays("[stopped]"))
        assert "\x1b[J[stopped]" in term.received
        term.wait_until(displays("0 records written"))
        permits.give(20)
        assert term.wait() == 0
        assert_whole(term, "[stopped]", "[done 0]", *map(line, range(20)))


def test_stopped_terminal_does_not_stop_the_run(server: Loopback, n20: str, tmp_path: Path) -> None:
    """Ctrl-S stops the display, while results go to their file."""
    permits = Permits(server)
    out = tmp_path / "out"
    with terminal(80) as term:
        term.start("-a", f"s={server.url()}", "-l", "5", "-e", "merge", "-o", str(out), n20)
        term.wait_until(displays("0 records written"))
        term.type(b"\x13")
        permits.give(20)
        term.wait_until(lambda _: out.exists() and out.read_bytes().count(b"\n") == 20)
        term.type(b"\x11")
        assert term.wait() == 0
        assert_whole(term, "20 records: 20 ok, 0 not ok")


@pytest.mark.parametrize(
    ("form", "shown"),
    [
        ("", r'"id": "\u00fc\u4e2d\ud83d\ude00"'),
        ('columns = "über=record.id"', r"\u00fcber"),
        ('columns = "über=record.id"', r"\u00fc\u4e2d\ud83d\ude00"),
    ],
)
def test_locale_without_utf8_gets_no_other_bytes(
    server: Loopback, tmp_path: Path, form: str, shown: str
) -> None:
    """Letters that the terminal does not know are escaped, in results, display and summary."""
    server.gate.clear()
    source = tmp_path / "source"
    source.write_text('{"id": "\u00fc\u4e2d\U0001f600"}\n')
    config = tmp_path / "c.toml"
    config.write_text(f'[run]\n{form}\n[api."\u00fcber"]\nurl = "{server.url()}"\n')
    env = environment(
        TERM="xterm", CI="", LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0", NO_COLOR="1"
    )
    with terminal(80, encoding="ascii") as term:
        term.start("-c", str(config), str(source), env=env)
        term.wait_until(displays(r"\xfcber"))
        server.gate.set()
        assert term.wait() == 0
        assert term.received.isascii()
        assert shown in term.text


@pytest.mark.parametrize("workers", ["1", "2"])
def test_display_tells_of_a_pause(server: Loopback, n20: str, workers: str) -> None:
    """While an API is paused, the display says why and for how long; Ctrl-C need not wait."""
    server.replies["/"] = lambda _: (429, b"")
    server.more_headers["Retry-After"] = "43"
    with terminal(80) as term:
        args = ("-a", f"score={server.url()}", "--drain-timeout", "0", "--workers", workers)
        term.start(*args, n20)
        term.wait_until(pause_left)
        before = pause_left(term)
        term.wait_until(lambda term: pause_left(term) not in ("", before))
        assert int(pause_left(term)) < int(before) <= 43
        term.press("C", signal.SIGINT)
        assert term.wait() == 130
        assert term.text.count("score is paused until") == 1


@pytest.mark.parametrize("workers", ["1", "2"])
def test_pause_is_told_twice_off_a_terminal(server: Loopback, n20: str, workers: str) -> None:
    """Once as it begins, and once as it ends, by whichever process."""
    server.more_headers["Retry-After"] = "2.1"
    server.replies["/"] = lambda body: (429 if len(server.bodies) <= int(workers) else 200, body)
    server.gate.clear()
    with start("-a", f"score={server.url()}", "-l", workers, "--workers", workers, n20) as process:
        server.await_requests(int(workers))  # each worker is refused before it hears of the other
        server.gate.set()
        _, err = process.communicate()
    assert process.returncode == 0
    began, ended = err.decode().splitlines()
    assert re.fullmatch(r"tmux-fanout: score is paused until [\d:]+, as it asked .*", began)
    assert re.fullmatch(r"tmux-fanout: score serves again, after [\d.]+s", ended)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
@pytest.mark.parametrize(
    ("after", "is_shown"),
    [("cat | cat", False), ("tee /dev/null", False), ("cat > /dev/null", True)],
)
def test_no_display_beside_the_next_program_in_a_pipe(
    server: Loopback, n20: str, after: str, is_shown: bool
) -> None:
    """Its lines would be mixed with the display, unless they go elsewhere."""
    permits = Permits(server)
    with terminal(80) as term:
        args = ("-a", f"s={server.url()}", "-e", "merge", n20)
        term.start(*args, within=("sh", "-c", f'"$@" | {after}', "sh"))
        if is_shown:
            term.wait_until(displays("0 records written"))
        permits.give(20)
        assert term.wait() == 0
        assert ("\x1b" in term.received) == is_shown
        assert [term.count(line(index)) for index in range(20)] == [int(not is_shown)] * 20

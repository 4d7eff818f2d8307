"""`--display full`: the whole terminal shows a run, and is left as it was."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.command import lines, records, run
from support.loopback import Loopback
from support.terminal import Terminal, terminal

PROMPT = "$ ls\nrecords\n$ tmux-fanout --display full"
COLUMNS = [40, 60, 80, 200]


class Job:
    """A run on a terminal.

    Args:
        server: what it calls.
        folder: where its files are.
        count: of records.
    """

    def __init__(self, server: Loopback, folder: Path, count: int = 200) -> None:
        self.server = server
        self.source, self.out = folder / "in.jsonl", folder / "out.jsonl"
        self.source.write_bytes(records(count))

    @property
    def args(self) -> tuple[str, ...]:
        files = ("-o", str(self.out), str(self.source))
        return ("--display", "full", "-a", f"x={self.server.url('/x')}", "-l", "10", *files)

    def start(self, term: Terminal, *more: str, within: tuple[str, ...] = ()) -> None:
        """Start it, and wait until it is shown, with ten requests in flight."""
        term.shows(PROMPT)
        term.shows("\n")
        term.start(*self.args, *more, within=within)
        self.server.await_requests(10)
        term.wait_until(shows("x 10 10"))


@pytest.fixture
def held(server: Loopback) -> Iterator[Loopback]:
    """A server that answers nothing before its gate is opened."""
    server.gate.clear()
    yield server
    server.gate.set()


@pytest.fixture
def job(held: Loopback, tmp_path: Path) -> Iterator[Job]:
    """A job whose signals are not ignored, as they are where this runs in the background."""
    former = signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    yield Job(held, tmp_path)
    signal.signal(signal.SIGQUIT, former)


def shows(text: str) -> Callable[[Terminal], bool]:
    """Return whether the second screen has a text, blanks and marks aside."""
    return lambda term: term.is_second_screen and text in words(term)


def words(term: Terminal) -> str:
    return " ".join(" ".join(term.on_screen).replace("> ", " ").split())


def marks(term: Terminal) -> list[str]:
    """Return how the rows of APIs begin."""
    return [row[:3] for row in term.on_screen if row[2:5] in ("x  ", "y  ")]


def assert_left(term: Terminal) -> None:
    """The terminal is as it was, apart from what was written to its first screen."""
    assert not term.is_second_screen
    assert term.is_usual
    assert term.rows[: PROMPT.count("\n") + 1] == PROMPT.split("\n")
    assert "in flight" not in term.text.replace("in flight  calls", "")


@pytest.mark.parametrize("columns", COLUMNS)
def test_run_is_shown_on_the_whole_terminal_which_is_then_as_it_was(job: Job, columns: int) -> None:
    """The summary stands below the prompt."""
    with terminal(columns) as term:
        job.start(term)
        assert "window: 200 of 1,024 records" in words(term)
        assert "q: stop reading" in words(term)
        assert not term.is_usual
        job.server.gate.set()
        assert term.wait() == 0
        assert_left(term)
        assert term.count("200 records: 200 ok") == 1
    assert len(lines(job.out.read_bytes())) == 200


def test_keys_pause_change_the_limit_and_end_the_run(job: Job) -> None:
    """The server counts, and what changed is said on the first screen."""
    with terminal(100, 40) as term:
        job.start(term)
        for _ in range(2):
            term.type(b"+")
        term.wait_until(shows("x 12 12"))
        assert job.server.peak == 12
        term.type(b"---")
        term.wait_until(shows("x 12 9"))
        term.type(b"p")
        term.wait_until(shows("x: paused by the user"))
        term.type(b"\x1b[A\x1bOPp")  # an arrow, F1, and the key
        term.wait_until(shows("keys: x: resumed"))
        term.type(b"q")
        term.wait_until(shows("calls are cancelled in"))
        term.type(b"q")
        assert term.wait() == 130
        assert_left(term)
        for text in ("limit 11", "limit 12", "limit 9", "paused", "resumed"):
            assert f"keys: x: {text}" in term.text
    assert {each["ok"] for each in lines(job.out.read_bytes())} == {False}


def test_tab_chooses_one_api(job: Job) -> None:
    """Keys act on that one, and on all of them after the last."""
    with terminal(100, 40) as term:
        job.start(term, "-a", f"y={job.server.url('/y')}")
        job.server.await_requests(10)
        term.type(b"\t\t")
        term.wait_until(lambda term: marks(term) == ["  x", "> y"])
        term.type(b"p")
        term.wait_until(shows("keys: y: paused"))
        term.type(b"\tp")
        term.wait_until(shows("keys: x: paused"))
        term.type(b"p")
        term.wait_until(shows("keys: x: resumed, y: resumed"))
        job.server.gate.set()
        assert term.wait() == 0
        assert_left(term)


def test_view_fits_a_terminal_that_is_resized(job: Job) -> None:
    """Nothing of it is left behind."""
    with terminal(200, 40) as term:
        job.start(term)
        for columns, rows in ((40, 12), (20, 5), (120, 24)):
            term.resize(columns, rows)
            term.wait_until(lambda term: "q: stop" in words(term))
        term.wait_until(shows("x 10 10"))
        job.server.gate.set()
        assert term.wait() == 0
        assert not term.is_second_screen
        assert term.is_usual


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_signals_leave_the_terminal_as_it_was(job: Job, number: signal.Signals) -> None:
    """Whether they drain the run or end it on the spot."""
    with terminal(100) as term:
        job.start(term, "--drain-timeout", "100ms")
        term.kill(number)
        status = term.wait()
        assert_left(term)
    expected = {"SIGTERM": 143, "SIGINT": 130, "SIGHUP": 129, "SIGQUIT": -signal.SIGQUIT}
    assert status == expected[number.name]


def test_error_leaves_the_terminal_as_it_was(job: Job) -> None:
    """Such as an output that cannot be written."""
    with terminal(100) as term:
        job.start(term, within=("sh", "-c", 'ulimit -f 1; trap "" XFSZ; exec "$@"', "-"))
        job.server.gate.set()
        assert term.wait() != 0
        assert_left(term)
        assert "File too large" in term.text


def test_run_that_is_stopped_gives_the_terminal_back_and_takes_it_again(job: Job) -> None:
    """By Ctrl-Z, and even by SIGSTOP."""
    fg = "fg >/dev/null"
    script = f'set -m; "$@"; echo "[stopped]"; {fg}; echo "[again]"; {fg}; echo "[$?]"'
    with terminal(100) as term:
        job.start(term, within=("sh", "-c", script, "-"))
        term.press("Z", signal.SIGTSTP)
        term.wait_until(lambda term: "\x1b[?1049l[stopped]" in term.received)
        term.wait_until(shows("x 10 10"))
        assert not term.is_usual
        term.kill(signal.SIGSTOP)
        term.wait_until(lambda term: "[again]" in term.received)
        term.wait_until(lambda term: term.received.count("\x1b[?1049h") == 3)
        term.type(b"p")
        term.wait_until(shows("keys: x: paused"))
        term.type(b"p")
        term.wait_until(shows("keys: x: resumed"))
        job.server.gate.set()
        assert term.wait() == 0
        assert_left(term)
        assert "[0]" in term.text


def test_run_whose_terminal_goes_away_ends_as_with_sighup(job: Job) -> None:
    """What it has is written."""
    with terminal(100) as term:
        job.start(term, "--drain-timeout", "100ms")
        term.hang_up()
        assert term.wait_in_the_dark() == 129
    assert len(lines(job.out.read_bytes())) == 200


def test_messages_are_on_the_first_screen_and_the_last_ones_in_the_view(job: Job) -> None:
    """None is lost."""
    with terminal(100, 40) as term:
        job.start(term, "-v", "--retries", "0")
        job.server.replies["/x"] = lambda body: (404, body)
        job.server.gate.set()
        assert term.wait() == 1
        assert_left(term)
        assert term.text.count("HTTP 404") >= 200


def test_page_on_the_status_is_on_the_first_screen(job: Job) -> None:
    """SIGUSR1 is answered as ever."""
    with terminal(100, 40) as term:
        job.start(term)
        term.kill(signal.SIGUSR1)
        term.wait_until(lambda term: "attempts" in term.received)  # a column of the page alone
        job.server.gate.set()
        assert term.wait() == 0
        assert term.count("next in the output: record 0") == 1
        assert not term.is_second_screen


def test_workers_are_shown_together(job: Job) -> None:
    """Their attempts are added up, and keys act on all of them."""
    with terminal(100, 40) as term:
        job.start(term, "--workers", "2", "--chunk-size", "10")
        term.type(b"++++")
        term.wait_until(shows("x 14 14"))
        assert job.server.peak == 14
        job.server.gate.set()
        assert term.wait() == 0
        assert_left(term)


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (("IN",), "results would go to the same terminal: add -o FILE"),
        (("-o", "/dev/tty", "--force", "IN"), "results would go to the same terminal"),
        (("-o", "OUT"), "records are typed on the same terminal: name a FILE, or pipe them in"),
        (("-o", "OUT", "--failed", "/dev/tty", "IN"), "--failed would go to the same terminal"),
    ],
)
def test_terminal_with_another_use_is_refused(
    server: Loopback, tmp_path: Path, args: tuple[str, ...], why: str
) -> None:
    """Before anything is sent, with what to write instead."""
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(records(3))
    names = {"IN": str(source), "OUT": str(out)}
    with terminal(200) as term:
        given = (names.get(each, each) for each in args)
        term.start("--display", "full", "-a", f"x={server.url()}", *given)
        assert term.wait() == 2
        assert f"tmux-fanout: --display full: {why}" in term.text
        assert not term.is_second_screen
    assert not server.bodies


def test_there_is_no_view_without_a_terminal(server: Loopback) -> None:
    """The run goes on, and -q drops the warning."""
    args = ("-a", f"x={server.url()}", "--display", "full")
    done = run(*args, stdin=records(3))
    assert (done.returncode, len(lines(done.stdout))) == (0, 3)
    assert "warning: --display full: standard error is not a terminal" in done.stderr.decode()
    assert run(*args, "-q", stdin=records(3)).stderr == b""


def test_none_shows_nothing(job: Job) -> None:
    """Neither the view nor the usual display."""
    job.server.gate.set()
    with terminal(100) as term:
        args = [each if each != "full" else "none" for each in job.args]
        term.start(*args, "--progress", "--summary", "none")
        assert term.wait() == 0
        assert term.received == ""


def test_job_in_the_background_leaves_the_terminal_to_others(job: Job) -> None:
    """It neither draws nor is stopped for it."""
    with terminal(100) as term:
        script = 'set -m; "$@" & wait; echo done'
        term.start(*job.args, within=("bash", "-c", script, "-"))
        job.server.await_requests(10)
        job.server.gate.set()
        assert term.wait() == 0
        assert "done" in term.text
        assert "\x1b[?1049h" not in term.received
        assert term.is_usual
    assert len(lines(job.out.read_bytes())) == 200

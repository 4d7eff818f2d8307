"""The command `test`: the tests of a configuration."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from support.command import start

from tmux_fanout.cli.main import cli

SCORE = """
[run]
retries = 2

[api.score]
url = "https://score.example.com/v1/score"
headers = { X-User = "{user}" }
body = "{text: text}"
select = "value"
idempotent = true

[[test]]
name = "keeps the value"
record = { user = "ann", text = "hi" }
replies.score = { body = { value = 3 } }
expect.results.score.body = 3
expect_request.score = { headers = { x-user = "ann" }, body = { text = "hi" } }

[[test]]
name = "is patient"
record = { user = "ann", text = "hi" }
replies.score = [{ status = 500 }, { error = "timeout" }, { body = { value = 3 } }]
expect.results.score = { body = 3, attempts = 3 }
"""


class Done(NamedTuple):
    """A command that has ended."""

    status: int
    out: str
    err: str

    @property
    def last(self) -> str:
        """The last line without the time and its frame."""
        return re.sub(r"=+ | in [\d.]+s =+$", "", self.out.splitlines()[-1])


Try = Callable[..., Done]

AT = """
[api.a]
url = "https://a.example.com/"
body = "{at: now()}"
retries = 2
idempotent = true

[[test]]
record = { id = 1 }
replies.a = [{ status = 503, headers = { Retry-After = "3600" } }, { body = 1 }]
"""

SHARE = """
[api.s]
url = "https://s.example.com/{q}"
share = true

[[test]]
records = [{ q = 1 }, { q = 1 }]
replies.s = { body = 1 }
expect = [{ results.s.attempts = 1 }, { results.s.shared = true }]
"""


@pytest.fixture(name="tried")
def _tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Try:
    """Run a command on a configuration file, in this process."""
    monkeypatch.chdir(tmp_path)

    def tried(text: str, *args: str, command: str = "test") -> Done:
        Path("a.toml").write_text(text)
        status = cli([command, "-c", "a.toml", *args], standalone_mode=False, obj=[])
        return Done(status, *capfd.readouterr())

    return tried


def test_all_pass(tried: Try) -> None:
    """A configuration that does what is expected ends with 0."""
    done = tried(SCORE)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("..\n")
    assert done.last == "2 passed"


@pytest.mark.parametrize(
    ("change", "to", "mistakes"),
    [
        ('"value"', '"score"', ["results.score.body: expected 3, got null"] * 2),
        (
            '"{text: text}"',
            '"{txt: text}"',
            ['request to score: body.text: expected "hi", got nothing'],
        ),
        (
            '"{user}" }',
            '"{name}" }',
            ["replies.score: expected 1 request, none was sent"],
        ),
        ("idempotent = true", "", ["replies.score: expected 3 requests, 1 was sent"]),
        ("retries = 2", "retries = 1", ["replies.score: expected 3 requests, 2 were sent"]),
        ("score.example.com/v1", "score.example.com/v2", []),
    ],
)
def test_mistakes_are_found(tried: Try, change: str, to: str, mistakes: list[str]) -> None:
    """A wrong `select`, a wrong template and a missing retry each fail a test."""
    assert change in SCORE
    done = tried(SCORE.replace(change, to, 1))
    assert done.status == (1 if mistakes else 0)
    for line in mistakes:
        assert done.out.count(f"\n{line}\n") == mistakes.count(line)


def test_report_has_what_was_sent_replied_and_written(tried: Try) -> None:
    """Below the mistakes of a test is its course."""
    done = tried(SCORE.replace("value = 3 }", "value = 4 }", 1), "-k", "VALUE")
    assert done.out.splitlines()[1:-1] == [
        "=================================== FAILURES ===================================",
        "___________________________ test 1: keeps the value ____________________________",
        "results.score.body: expected 3, got 4",
        "",
        'score   POST https://score.example.com/v1/score  {"text":"hi"}',
        '        -> 200  {"value":4}',
        'result  {"index":0,"record":{"user":"ann","text":"hi"},"ok":true,"results":{"score":'
        '{"ok":true,"status":200,"body":4,"attempts":1,"seconds":0.0}}}',
        "",
    ]
    assert done.last == "1 failed, 1 deselected"


def test_verbose_names_each_test(tried: Try) -> None:
    """With -v each test has a line of its own."""
    done = tried(SCORE, "-v")
    assert done.out.splitlines()[:2] == [
        "PASSED test 1: keeps the value",
        "PASSED test 2: is patient",
    ]


def test_requests_without_reply_fail(tried: Try) -> None:
    """A request that no reply is stated for ends its test, which says so."""
    done = tried(SCORE.replace("replies.score = { body = { value = 3 } }", "", 1))
    sent = 'POST https://score.example.com/v1/score  {"text":"hi"}'
    assert f"\nreplies.score: no reply: {sent}\n" in done.out
    assert done.status == 1
    done = tried(SCORE.replace("{ body = { value = 3 } }", "{ status = 500 }", 1))
    assert f"\nreplies.score: there is 1 reply, and request 2 was sent: {sent}\n" in done.out
    done = tried(SCORE.replace(", { body = { value = 3 } }]", "]").replace("s = 2", "s = 5"))
    assert f"\nreplies.score: there are 2 replies, and request 3 was sent: {sent}\n" in done.out


def test_replies_that_are_left_fail(tried: Try) -> None:
    """Each reply stands for a request."""
    done = tried(SCORE.replace("{ body = { value = 3 } }", "[{ body = {value = 3} }, {}]", 1))
    assert "\nreplies.score: expected 2 requests, 1 was sent\n" in done.out


JOBS = """
[api.job]
url = "https://jobs.example.com/jobs"
poll = { url = "/jobs/{_submitted.id}", until = "done", every = "10s", max = "30s" }

[[test]]
record = {}
replies.job = [{ body = { id = 7 } }, {}, {}, {}]
expect.results.job.error.kind = "timeout"
"""


def test_jobs_that_are_never_done_end(tried: Try) -> None:
    """A poll that is never true ends after its time, which is virtual."""
    done = tried(JOBS.replace("{}, {}, {}]", "{ body = {} }, { body = {} }, { body = {} }]"))
    assert done.last == "1 passed", done.out
    done = tried(JOBS.replace("{}, {}, {}]", "{ body = {} }]"))
    assert "there are 2 replies, and request 3 was sent: GET https://jobs.example" in done.out


def test_secrets_are_not_needed_and_not_shown(
    tried: Try, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables have stand-ins, files are not read, and commands are not run."""
    monkeypatch.setenv("TOKEN", "s3cret")
    text = """
    [api.a]
    url = "https://${HOST}:${PORT}/${TENANT}/x?key=${KEY}"
    headers = { X-File = "${file:/nowhere/key}", X-Command = "${cmd:touch ran}" }
    auth = { bearer = "${TOKEN}" }
    tls = { ca = "nowhere.pem" }

    [api.b]
    url = "${BASE}/y"
    auth = { basic = ["${USER_NAME}", "${PASSWORD}"] }
    proxy = "${PROXY}"

    [api.c]
    endpoints = ["https://${REGION}.example.com", "https://c-${REGION}.example.com"]
    url = "/${VERSION}/{id}"

    [[test]]
    record = { id = 7 }
    replies = { a = {}, b = {}, c = [{ status = 503, delay = "1s" }, {}] }
    expect = { ok = false }

    [test.expect_request.a]
    url = "https://host.example:8080/tenant/x?key=key"
    headers.Authorization = "Bearer ${TOKEN}"
    headers.X-File = "${file:/nowhere/key}"
    headers.X-Command = "${cmd:touch ran}"

    [test.expect_request]
    b.url = "${BASE}/y"
    c.url = "/version/7"
    """
    done = tried(text)
    assert done.err == ""
    mistakes = done.out.partition("test 1")[2].split("\n\n")[0].splitlines()[1:]
    assert mistakes == ["ok: expected false, got true"], done.out
    assert "s3cret" not in done.out
    assert not (tmp_path / "ran").exists()


OAUTH = """
[defaults]
auth = { oauth2 = { token_url = "https://id.example.com/t", client_id = "${ID}", client_secret = "${SECRET}" } }

[api.a]
url = "https://a.example.com/"
retries = 0

[api.b]
url = "https://b.example.com/"
retries = 0

[[test]]
record = 1
replies = { a = {}, b = {} }
expect.ok = true
expect_request.a.headers.Authorization = "Bearer token"
"""  # noqa: E501


def test_tokens(tried: Try) -> None:
    """Token requests are answered with a token, or as it is stated."""
    assert tried(OAUTH).last == "1 passed"
    stated = 'tokens.b = { body = { access_token = "other", token_type = "Bearer" } }\n'
    text = OAUTH.replace("expect.ok", stated + "expect.ok")
    assert tried(text.replace("Bearer token", "Bearer other")).last == "1 passed"
    refused = "tokens.a = { status = 401 }\nreplies = {}\nexpect.ok = false\n"
    done = tried(OAUTH.partition("replies = ")[0] + refused)
    assert done.last == "1 passed", done.out
    unused = "tokens.a = [{ status = 401 }, {}]\nreplies = {}\nexpect.ok = false\n"
    done = tried(OAUTH.partition("replies = ")[0] + unused)
    assert "\ntokens.a: expected 2 requests, 1 was sent\n" in done.out


def test_settings_of_the_run_hold(tried: Try) -> None:
    """Time limits, rates and pauses are those of the configuration, in virtual time."""
    text = """
    [run]
    timeout = "10m"
    rate = "1/m"
    [api.a]
    url = "https://a.example.com/"
    method = "GET"
    [[test]]
    records = [1, 2, 3]
    replies.a = [{ delay = "1s" }, { status = 429, headers = { Retry-After = "200" } }, {}, {}]
    expect = [
        { results.a = { ok = true, seconds = 1 } },
        { results.a = { ok = true, attempts = 2, seconds = 200 } },
        { results.a = { ok = true, attempts = 1 } },
    ]
    [[test]]
    record = 1
    replies.a.delay = "31s"
    expect = { results.a.error.kind = "timeout" }
    [[test]]
    record = 1
    replies.a = [{ error = "timeout" }, {}]
    expect = { results.a = { ok = true, attempts = 2 } }
    """
    done = tried(text, "-v")
    lines = done.out.splitlines()
    assert (lines[0], lines[2]) == ("PASSED test 1", "PASSED test 3"), done.out
    assert "there is 1 reply, and request 2 was sent" in done.out


def test_kinds_of_requests(tried: Try) -> None:
    """Redirects, hosts from records, and a `when` that is false."""
    text = """
    [api.page]
    url = "{+url}"
    hosts = ["*.example.com"]
    method = "GET"
    redirects = 2
    [api.plain]
    url = "https://plain.example.com/a"
    redirects = 1
    when = "plain"
    idempotency_key = "{url}"
    text = "Re: {url}"
    [[test]]
    name = "moved"
    record = { url = "https://a.example.com/", plain = true }
    replies.page = [{ status = 302, headers.Location = "https://b.example.com/x" }, { body = "b" }]
    replies.plain = [{ status = 307, headers.Location = "/b" }, { body = { at = "b" } }]
    expect.results = { page.body = "b", plain = { body = { at = "b" } } }
    expect_request.page = [{ url = "https://a.example.com/" }, { url = "https://b.example.com/x" }]
    expect_request.plain = [{ url = "/a", body = "Re: https://a.example.com/" }, { url = "/b" }]
    [[test]]
    name = "refused"
    record = { url = "https://a.example.org/" }
    expect.results = { page.error.kind = "template", plain.skipped = true }
    expect_request = { page = [], plain = [] }
    """
    done = tried(text)
    assert done.last == "2 passed", done.out


def test_simultaneous_requests_have_an_order(tried: Try) -> None:
    """Requests that begin at the same time take their replies in the order of the records."""
    numbers = range(40)
    replies = ", ".join(f"{{ body = {number} }}" for number in numbers)
    expect = ", ".join(f"{{ results.a.body = {number} }}" for number in numbers)
    refusals = "{ status = 503 }, " * len(numbers)
    text = f"""
    [defaults]
    auth = {{ oauth2 = {{ token_url = "https://id.example.com/t", client_id = "a", client_secret = "b" }} }}
    [api.a]
    url = "https://a.example.com/"
    breaker = false
    [[test]]
    records = {list(numbers)}
    replies.a = [{refusals} {replies}]
    expect = [{expect}]
    """  # noqa: E501
    assert tried(text).last == "1 passed"


def test_profiles_and_included_files(tried: Try, tmp_path: Path) -> None:
    """Tests of included files count, and run with the profile that is chosen."""
    (tmp_path / "common.toml").write_text(SCORE)
    text = 'include = ["common.toml"]\n[profile.short.run]\nretries = 0\n'
    more = '[[test]]\nname = "own"\nline = "{"\nexpect.error.kind = "invalid_record"\n'
    assert tried(text + more).last == "3 passed"
    done = tried(text + more, "--profile", "short")
    assert done.last == "1 failed, 2 passed"


@pytest.mark.parametrize(
    ("text", "args", "message"),
    [
        (SCORE.partition("[[test]]")[0], (), "a.toml: no test: add one, such as [[test]], record"),
        (SCORE, ("-k", "none"), "-k: no test has 'none' in its name: 'keeps the value', 'is pat"),
        (SCORE.replace("select", "selects"), (), "a.toml: api.score: unknown key 'selects': did y"),
        (SCORE.replace("expect.", "expects.", 1), (), "a.toml: test 1: unknown key 'expects': di"),
        (SCORE.replace('"{text: text}"', '"{text: "'), (), "a.toml: api.score.body: "),
        (SCORE, ("--profile", "x"), "--profile: unknown profile 'x': add a table such as"),
        ("[test]\nrecord = 1\n" + SCORE.partition("[[")[0], (), "a.toml: test: not a list: write"),
    ],
)
def test_usage(tried: Try, text: str, args: tuple[str, ...], message: str) -> None:
    """What cannot be tested ends with 2, and a line that says why."""
    done = tried(text, *args)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"tmux-fanout: {message}"), done.err


def test_a_file_is_needed(tmp_path: Path) -> None:
    """Without a configuration file there is nothing to test; this is a real process."""
    with start("test", cwd=tmp_path) as process:
        out, err = process.communicate()
    assert (process.returncode, out) == (2, b"")
    assert b"no configuration file to test: use -c FILE, or write ./tmux-fanout.toml" in err
    (tmp_path / "tmux-fanout.toml").write_text(SCORE)
    with start("test", cwd=tmp_path) as process:
        out, err = process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert b" 2 passed in " in out


def test_a_file_is_an_option(tmp_path: Path) -> None:
    """A file without its option is answered with that."""
    with start("test", "a.toml", cwd=tmp_path) as process:
        _, err = process.communicate()
    assert process.returncode == 2
    assert b"(a.toml): use -c FILE for the configuration, and -k TEXT to choose tests" in err


def test_check_finds_mistakes_in_tests(tried: Try) -> None:
    """`check` reports all of them, with those of other tables, and does not show tests."""
    wrong = SCORE.replace("expect.", "expects.").replace("retries", "retry")
    done = tried(wrong, command="check")
    assert done.status == 2
    assert [line.split(": ")[2] for line in done.err.splitlines()] == ["run", "test 1", "test 2"]
    done = tried(SCORE, command="check")
    assert (done.status, done.err) == (0, "")
    assert "test" not in done.out.replace("a.toml", "")


def test_runs_do_not_look_at_tests(tried: Try) -> None:
    """A mistake in a test is nothing that a run stumbles over."""
    wrong = SCORE.replace("expect.", "expects.")
    Path("records.jsonl").write_text("{}\n")
    done = tried(wrong, "-q", "records.jsonl", command="run")
    assert (done.status, done.err) == (1, "")
    assert '"kind":"template"' in done.out


def test_output_that_is_closed(tmp_path: Path) -> None:
    """A reader that goes ends the command silently."""
    (tmp_path / "a.toml").write_text(SCORE)
    read, write = os.pipe()
    os.close(read)
    try:
        with start("test", "-c", "a.toml", cwd=tmp_path, stdout=write) as process:
            _, err = process.communicate()
    finally:
        os.close(write)
    assert (process.returncode, err) == (141, b"")


def test_faults_at_random(tried: Try) -> None:
    """The same seed prints the same, whatever the tests would be called."""
    one, same = (tried(SCORE, "--chaos", "7", "--records", "50") for _ in range(2))
    assert (one.status, one.err) == (0, "")
    assert one.out.splitlines()[:-1] == same.out.splitlines()[:-1]
    assert one.out.startswith("seed 7: 50 records in ")
    assert "\n50 lines: " in one.out
    order = (
        "one line for each record, in order; nothing sent twice that must not be; no limit passed"
    )
    assert one.out.splitlines()[-2] == order
    assert one.last == "seed 7: all promises held"
    other = tried(SCORE, "--chaos", "8")
    assert other.out.startswith("seed 8: 300 records in ")


def test_broken_promises_are_reported(tried: Try, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken promise ends with 1, and says which it is."""
    command = "tmux_fanout.cli.commands.testing.command"
    lines = [f"record {number}: sent again" for number in range(30)]
    monkeypatch.setattr(f"{command}.broken", lambda plan, outcome: lines)
    done = tried(SCORE, "--chaos", "7", "--records", "50")
    assert done.status == 1
    assert "\nrecord 19: sent again\nand 10 more\n" in done.out
    assert done.last == "seed 7: 30 promises broken"


def test_records_are_for_faults(tried: Try) -> None:
    """Tests have their own records."""
    done = tried(SCORE, "--records", "5")
    message = "--records is the number of records of --chaos: add --chaos 1"
    assert (done.status, done.err) == (2, f"tmux-fanout: {message}\n")


def test_answers_are_shared(tried: Try) -> None:
    """Results say so as those of a run do."""
    assert tried(SHARE).last == "1 passed"


def test_clock_on_the_wall_is_virtual(tried: Try) -> None:
    """It begins at the same time in each run, for templates and notices, and then goes on."""
    body = '{ at = "2026-01-01T00:00:00.000Z" }'
    assert (
        tried(AT + f"expect_request.a = {{ body = {body} }}\nexpect.ok = true").last == "1 passed"
    )
    one, same = (re.sub(" in .*", "", tried(AT + "expect.ok = false").out) for _ in range(2))
    assert one == same

"""Rates in tokens, prices and budgets, through the command."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from support.command import environment, run, start
from support.loopback import Loopback
from support.pages import DOCS
from support.processes import children_of

PAGE = (DOCS / "how-to" / "rates-and-budget.md").read_text()
[CHAT, *_] = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
OPENAI = "https://api.openai.com"


def completion(_: bytes) -> tuple[int, bytes]:
    answer = {
        "choices": [{"message": {"content": "Well."}}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 100},
    }
    return 200, json.dumps(answer).encode()


@pytest.fixture
def config(server: Loopback, tmp_path: Path) -> str:
    """The configuration of the page, for the server under test, at a rate fit for a test."""
    server.replies["/v1/chat/completions"] = completion
    text = CHAT.replace(OPENAI, server.url("")).replace("500/m", "500/s")
    path = tmp_path / "chat.toml"
    path.write_text(text.replace("90000/m", "10000000/s"))
    return str(path)


def prompts(tmp_path: Path, count: int) -> str:
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(f'{{"prompt":"Why {n}?"}}\n' for n in range(count)))
    return str(path)


def chat(*args: str) -> tuple[int, dict[str, Any], str]:
    """Run the command; return its status, its summary and the lines before that."""
    done = run(*args, "--summary", "json", env=environment(OPENAI_API_KEY="s3cret"))
    *lines, last = done.stderr.decode().splitlines()
    return done.returncode, json.loads(last), "\n".join(lines)


def test_the_configuration_of_the_page_counts_units_and_money(
    server: Loopback, config: str, tmp_path: Path
) -> None:
    """What the responses tell is in the summary, by API."""
    out = str(tmp_path / "out.jsonl")
    status, summary, said = chat("-c", config, "-o", out, prompts(tmp_path, 40))
    assert (status, said) == (0, "")
    assert summary["cost"] == 0.14
    assert summary["apis"]["chat"]["spending"]["useful"] == {
        "input": 40_000,
        "output": 4_000,
        "cost": 0.14,
    }
    assert summary["apis"]["chat"]["spending"]["lost"] == {"input": 0, "output": 0, "cost": 0}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_budget_ends_the_run_and_resume_continues(
    server: Loopback, config: str, tmp_path: Path, workers: str
) -> None:
    """The budget is not passed, the rest is not sent, and the whole file comes of two runs."""
    out, given = str(tmp_path / "out.jsonl"), prompts(tmp_path, 120)
    job = ("-c", config, "-o", out, "--workers", workers, given)
    status, summary, said = chat("--max-cost", "0.2", *job)
    assert status == 4
    assert summary["ending"] == "cost limit"
    assert 0.15 < summary["cost"] <= 0.2
    assert len(server.bodies) == round(summary["cost"] / 0.0035)
    assert said.startswith("tmux-fanout: given up: --max-cost 0.2 is reached: 0.1")
    lines = [json.loads(line) for line in Path(out).read_text().splitlines()]
    assert [line["index"] for line in lines] == list(range(120))
    errors = [line["results"]["chat"].get("error", {}) for line in lines if not line["ok"]]
    assert {error["message"] for error in errors} == {
        "the run was given up: --max-cost is reached; not sent"
    }
    assert len(errors) == 120 - len(server.bodies)
    status, summary, said = chat("--resume", "--max-cost", "1", *job)
    assert (status, said) == (0, "")
    assert summary["ok"] == 120
    assert summary["cost"] <= 0.42
    assert run("verify", given, out).returncode == 0


def test_the_table_shows_units_and_money(server: Loopback, config: str, tmp_path: Path) -> None:
    out = str(tmp_path / "out.jsonl")
    job = ("-c", config, "-o", out, prompts(tmp_path, 1000))
    env = environment(OPENAI_API_KEY="s3cret")
    text = run(*job, "--summary", "table", env=env).stderr.decode()
    [units] = [line.split() for line in text.splitlines() if line.startswith("chat units")]
    [cost] = [line.split() for line in text.splitlines() if line.startswith("chat cost")]
    assert units == ["chat", "units", "1,100,000", "1,100,000", "0", "0", "0"]
    assert cost == ["chat", "cost", "3.50", "3.50", "0.00", "0.00", "0.00"]


ONE = "[api.one]\nurl = 'http://127.0.0.1:1/'\n"
TWO = "[api.two]\nurl = 'http://127.0.0.1:1/'\n"


@pytest.mark.parametrize(
    ("text", "args", "message"),
    [
        (ONE + "rate = 5", [], "api.one.rate: invalid rate 5: use N/s, N/m or N/h, such as"),
        (ONE + "rate = {}", [], "api.one.rate: neither requests nor tokens: add one, such as"),
        (ONE + "rate = { request = '5/s' }", [], "api.one.rate: unknown key 'request': did you"),
        (ONE + "rate = { requests = '5' }", [], "api.one.rate.requests: invalid rate '5': use"),
        (ONE + "rate = { tokens = '0/m' }", [], "api.one.rate.tokens: invalid rate '0/m': use"),
        (ONE + "rate = ['5/s']", [], "api.one.rate: invalid rate (a value of type list): use"),
        (
            ONE + "rate = { requests = '5/s', burst = '-1s' }",
            [],
            "api.one.rate.burst: invalid duration '-1s': use",
        ),
        (
            ONE + "rate = { tokens = '5/m' }",
            [],
            "api.one.rate: nothing tells how many tokens a call takes: add cost = ",
        ),
        (ONE + "rate_group = 'g'", [], "api.one.rate_group: no API of the group has a rate: add"),
        (
            f"{ONE}rate_group = 'g'\nrate = '5/s'\n{TWO}rate_group = 'g'\nrate = '6/s'",
            [],
            "api.two.rate_group: the APIs of the group have different rates: give the rate once",
        ),
        (ONE + "cost = 'chars/0'", [], "api.one.cost: invalid JMESPath expression: see character"),
        (ONE + "spent = '['", [], "api.one.spent: invalid JMESPath expression: "),
        (ONE + "price = '1/1M'", [], "api.one.price: not a table: use one such as "),
        (ONE + "price = { input = '1/1M' }", [], "api.one.price: nothing tells how many units"),
        (ONE + "price = { input = '1' }", [], "api.one.price.input: invalid price '1': use"),
        ("[run]\nmax_cost = 5\n" + ONE, [], "run.max_cost: no API has a price: add one"),
        ("[run]\nmax_cost = 'x'\n" + ONE, [], "run.max_cost: invalid amount of money 'x': use"),
        (ONE, ["--max-cost", "25"], ": --max-cost: no API has a price: add one"),
        (ONE, ["--max-cost", "$25"], "invalid amount of money '$25': use a number such as 25"),
    ],
)
def test_mistakes_name_the_key_and_what_to_write(
    text: str, args: list[str], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "mistake.toml"
    path.write_text(text)
    done = run("check", "-c", str(path), *args)
    assert done.returncode == 2
    assert message in done.stderr.decode()
    assert len(done.stderr.splitlines()) == 1 or args


def test_check_shows_what_means_the_same(tmp_path: Path) -> None:
    """What `check` prints is a configuration, which it prints again."""
    text = ONE + "cost = 'chars/4'\nspent = 'u'\nprice = { input = '0.15/1M', call = 0.001 }\n"
    text += "rate = { requests = '500/m', tokens = '90000/m', burst = '2s' }\nrate_group = 'g'\n"
    path = tmp_path / "one.toml"
    path.write_text(text)
    first = run("check", "-c", str(path), "--max-cost", "25").stdout
    path.write_bytes(first)
    second = run("check", "-c", str(path)).stdout
    own = [shown.partition(b"[api.one]")[2].partition(b"transport")[0] for shown in (first, second)]
    assert own[0] == own[1]
    assert b'max_cost = "25"' in second
    assert b'price = { input = "0.15/1M", call = "0.001" }' in first
    assert b'rate = { requests = "500/m", tokens = "1500/s", burst = "2s" }' in first


def test_a_worker_that_dies_takes_its_part_of_the_budget_along(
    server: Loopback, tmp_path: Path
) -> None:
    """What it may have spent is spent; the one that replaces it shares what is left."""
    path = tmp_path / "one.toml"
    path.write_text(f"[api.one]\nurl = '{server.url()}'\nprice = {{ call = '0.01' }}\n")
    server.gate.clear()
    args = ("-c", str(path), "--idempotent", "--workers", "2", "--max-cost", "2")
    with start(*args, prompts(tmp_path, 80)) as process:
        server.await_requests(64)
        victim, other = children_of(process.pid)
        os.kill(victim, signal.SIGKILL)
        server.await_requests(32)  # those of its replacement
        assert set(children_of(process.pid)) - {victim, other}
        server.gate.set()
        out, err = process.communicate()
    assert process.returncode == 0
    assert len(out.splitlines()) == 80
    assert b"worker process 0 died" in err
    assert len(server.bodies) <= 200

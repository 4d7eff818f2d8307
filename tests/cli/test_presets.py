"""Presets: one prompt to several providers' twins, presets of one's own, and the command."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from support.command import environment, lines, run
from support.loopback import Loopback
from support.providers import ANSWER, EMBEDDINGS, KEYS, PROVIDERS, Provider, answer_as

from tmux_fanout import Api
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.merging.presets import shipped_names

ROOT = Path(__file__).parents[2]
RECORD = b'{"text": "The \\"new\\" pump {drips}."}\n'
PROMPT = 'Summarise: The "new" pump {drips}.'


def configure(folder: Path, server: Loopback, preset: str, more: str = "") -> str:
    """Write five lines for a preset, and one that leads its requests to the server."""
    path = folder / "tmux-fanout.toml"
    at = f'endpoints = ["{server.url("")}"]'
    if preset == "openai-compatible":
        at = f'url = "{server.url("/v1/chat/completions")}"'
    path.write_text(
        f'[api.a]\npreset = "{preset}"\nmodel = "m-1"\nprompt = "Summarise: {{text}}"\n'
        f"{at}\n{more or 'max_tokens = 99'}\n"
    )
    return str(path)


@pytest.mark.parametrize(("preset", "provider"), PROVIDERS.items(), ids=PROVIDERS)
def test_one_prompt_has_one_shape(
    server: Loopback, tmp_path: Path, preset: str, provider: Provider
) -> None:
    """Whichever provider is called, the same few lines give the same body."""
    answer_as(server, provider)
    path = configure(tmp_path, server, preset)
    done = run("-c", path, "--emit", "body", stdin=RECORD, env=environment(**KEYS))
    assert (done.returncode, done.stderr) == (0, b"")
    usage = {"input": 12, "output": 3}
    assert lines(done.stdout) == [{"text": ANSWER, "finish": provider.finish, "usage": usage}]
    assert server.paths == [provider.path]
    headers = {name.lower(): value for name, value in server.headers[0].items()}
    if provider.key:
        assert headers[provider.header].removeprefix("Bearer ") == KEYS[provider.key]
    sent = json.loads(server.bodies[0])
    assert PROMPT in json.dumps(sent, ensure_ascii=False).replace('\\"', '"')
    assert "system" not in json.dumps(sent).lower()
    assert "99" in json.dumps(sent)


@pytest.mark.parametrize(("preset", "provider"), PROVIDERS.items(), ids=PROVIDERS)
def test_a_failure_with_status_200_is_no_answer(
    server: Loopback, tmp_path: Path, preset: str, provider: Provider
) -> None:
    """Gateways answer so; it is `rejected`, and the message shows what came."""
    answer_as(server, provider, provider.error)
    path = configure(tmp_path, server, preset)
    done = run("-c", path, stdin=RECORD, env=environment(**KEYS))
    error = lines(done.stdout)[0]["results"]["a"]["error"]
    assert (done.returncode, error["kind"]) == (1, "rejected")


def test_texts_have_embeddings(server: Loopback, tmp_path: Path) -> None:
    """They have no text, and so a shape of their own."""
    answer_as(server, EMBEDDINGS)
    path = configure(tmp_path, server, "openai-embeddings", " ")
    done = run("-c", path, "--emit", "body", stdin=RECORD, env=environment(**KEYS))
    assert lines(done.stdout) == [
        {"embedding": [0.25, -0.5], "usage": {"input": 12, "output": 0}}
    ], done.stderr
    assert json.loads(server.bodies[0]) == {"model": "m-1", "input": PROMPT}


def test_many_texts_have_embeddings_in_one_request(server: Loopback, tmp_path: Path) -> None:
    """The keys for a batch are those of the documentation."""
    guide = (ROOT / "docs/how-to/presets.md").read_text()
    keys = guide[guide.index("batch = {") :].partition("```")[0]
    reply = {
        "data": [{"index": 0, "embedding": [1.5]}, {"index": 1, "embedding": [2.5]}],
        "usage": {"prompt_tokens": 8, "total_tokens": 8},
    }
    answer_as(server, EMBEDDINGS, reply)
    path = configure(tmp_path, server, "openai-embeddings", keys)
    stdin = b'{"text": "one"}\n{"text": "two"}\n'
    done = run("-c", path, "--emit", "body", stdin=stdin, env=environment(**KEYS))
    assert done.stdout == b"[1.5]\n[2.5]\n", done.stderr
    assert [json.loads(body) for body in server.bodies] == [
        {"model": "m-1", "input": ["Summarise: one", "Summarise: two"]}
    ]


def test_a_blocked_prompt_says_why(server: Loopback, tmp_path: Path) -> None:
    """Gemini answers a prompt that it blocks without a candidate."""
    reply = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 9}}
    answer_as(server, PROVIDERS["gemini"], reply)
    path = configure(tmp_path, server, "gemini")
    done = run("-c", path, "--emit", "body", stdin=RECORD, env=environment(**KEYS))
    usage = {"input": 9, "output": 0}
    assert lines(done.stdout) == [{"text": "", "finish": "SAFETY", "usage": usage}]


def test_spent_tokens_are_counted(server: Loopback, tmp_path: Path) -> None:
    """With a price, the summary has the money."""
    answer_as(server, PROVIDERS["mistral"])
    more = 'price = { input = "1/1M", output = "10/1M" }'
    path = configure(tmp_path, server, "mistral", more)
    env = environment(**KEYS)
    done = run("-c", path, "--summary", "json", stdin=RECORD, env=env)
    assert json.loads(done.stderr)["cost"] == pytest.approx(0.000042)


OWN = """
[defaults]
headers = {{ Authorization = "Bearer ${{OTHER}}", X-Team = "t" }}
timeout = "9s"

[preset.mine]
preset = "openai-compatible"
url = "{url}/v1/chat/completions"
headers = {{ X-Api-Key = "${{MINE}}" }}
model = "m-0"
system = "Be brief."
timeout = "5s"
limit = 3

[api.a]
preset = "mine"
prompt = "{{text}}"
params = {{ temperature = 0.5, extra = {{ id = "{{id?}}" }} }}

[api.b]
preset = "mine"
model = "m-2"
prompt = "{{text}}"
system = "Be verbose."
select = "choices[0].message.content"
"""


@pytest.mark.parametrize("options", [[], ["--workers", "2"]], ids=" ".join)
def test_presets_can_be_ones_own(server: Loopback, tmp_path: Path, options: list[str]) -> None:
    """They build on others, fill in some keys, and keep what is for other hosts to themselves."""
    answer_as(server, PROVIDERS["openai-compatible"])
    path = tmp_path / "c.toml"
    path.write_text(OWN.format(url=server.url("")))
    env = environment(MINE="k-mine", OTHER="k-other")
    done = run("-c", str(path), *options, stdin=b'{"text": "T"}\n', env=env)
    assert done.returncode == 0, done.stderr
    results = lines(done.stdout)[0]["results"]
    assert results["a"]["body"]["text"] == results["b"]["body"] == ANSWER
    user = {"role": "user", "content": "T"}
    assert {body["model"]: body for body in map(json.loads, server.bodies)} == {
        "m-0": {
            "model": "m-0",
            "messages": [{"role": "system", "content": "Be brief."}, user],
            "temperature": 0.5,
            "extra": {},
        },
        "m-2": {
            "model": "m-2",
            "messages": [{"role": "system", "content": "Be verbose."}, user],
        },
    }
    for headers in server.headers:
        assert headers["X-Api-Key"] == "k-mine"
        assert headers["X-Team"] == "t"
        assert "Authorization" not in headers


def test_options_win_over_presets(server: Loopback, tmp_path: Path) -> None:
    """As they do over keys; keys of the API and [defaults] win over those of the preset."""
    path = tmp_path / "c.toml"
    path.write_text(OWN.format(url=server.url("")))
    env = environment(MINE="k-mine", OTHER="k-other")

    def checked(*options: str) -> dict[str, Any]:
        done = run("check", "-c", str(path), *options, env=env)
        apis: dict[str, Any] = tomllib.loads(done.stdout.decode())["api"]["a"]
        return apis

    assert (checked()["limit"], checked()["timeout"]) == (3, "9s")
    with_options = checked("--limit", "7", "--timeout", "1s")
    assert (with_options["limit"], with_options["timeout"]) == (7, "1s")


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ('preset = "opnai-chat"', ["api.a.preset: unknown preset 'opnai-chat': did you mean"]),
        ("preset = 3", ["api.a.preset: invalid preset 3: use one of anthropic-messages, gemini"]),
        (
            'preset = "openai-chat"',
            [
                """api.a.model: preset 'openai-chat' needs it: add model = "...\"""",
                "api.a.prompt: preset 'openai-chat' needs it: add prompt = \"Summarise: {text}\"",
            ],
        ),
        (
            'preset = "anthropic-messages"\nmodel = "m"\nprompt = "p"',
            ["api.a.max_tokens: preset 'anthropic-messages' needs it: add max_tokens = 1024"],
        ),
        (
            'preset = "openai-embeddings"\nmodel = "m"\nprompt = "p"\nsystem = "s"',
            ["api.a.system: preset 'openai-embeddings' has no place for it: leave it out"],
        ),
        (
            'preset = "openai-chat"\nmodel = "m"\nprompt = "p"\njson = 1',
            ["api.a.model: preset 'openai-chat' has no place for it: leave it out", "prompt"],
        ),
        (
            'url = "http://h/$(model)"\njson = { q = ["$(prompt?)"], m = "$(date)" }',
            [
                "api.a.url: slots such as $(model) work in keys of [preset.NAME] only: ",
                "api.a.json: slots such as $(prompt?) work in keys of [preset.NAME] only",
            ],
        ),
        (
            'preset = "ollama"\nmodel = "m"\nprompt = "p"\ntemperature = 0.2',
            ["api.a: unknown key 'temperature' here: write params = { temperature = ... }"],
        ),
        (
            'preset = "p"\nmodel = "m"\n[preset.p]\npreset = "ollama"\nprompt = "As $(model)"',
            ["api.a.prompt: slots such as $(model) work in keys of [preset.NAME] only: write the"],
        ),
        ('url = "http://h/"\nprompt = "p"', ["api.a.prompt: only for a preset: add preset"]),
        (
            'preset = "ollama"\nmodel = 3\nprompt = "{x"\nmax_tokens = 0\nparams = 1',
            [
                "api.a.model: invalid value 3: use text in quotes",
                "api.a.prompt: a { that begins no field: write {field}, or {{ for a brace",
                "api.a.max_tokens: invalid number 0: use one of at least 1, or text such as",
                "api.a.params: not a table: use one such as { temperature = 0.2 }",
            ],
        ),
        ('preset = "openai-compatible"\nmodel = "m"\nprompt = "p"', ["api.a.url: missing URL"]),
        (
            'preset = "p"\n[preset.p]\nurl = "http://h/$(modle)"',
            ["api.a.preset: preset 'p': unknown slot $(modle): did you mean model?"],
        ),
        (
            'preset = "p"\n[preset.p]\nurl = "http://h/"\nlimit = 0',
            ["api.a.limit: preset 'p': invalid limit 0: use a whole number of at least 1"],
        ),
        ('preset = "p"\n[preset.p]\nurll = "x"', ["preset.p: unknown key 'urll': did you mean"]),
        (
            'preset = "p"\n[preset]\np = { preset = "q" }\nq = { preset = "p" }',
            ["api.a.preset: presets that are made of each other, p, then q, then p: remove one"],
        ),
        ('[preset]\np = "x"', ["preset.p: not a table: use [preset.p]"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_mistakes_are_named(tmp_path: Path, text: str, messages: list[str]) -> None:
    """Each has one line with the key of the API, and what to write."""
    path = tmp_path / "c.toml"
    path.write_text(f"[api.a]\n{text}\n")
    done = run("check", "-c", str(path), env=environment(**KEYS))
    assert done.returncode == 2
    found = done.stderr.decode().splitlines()
    assert [message for message, line in zip(messages, found) if message not in line] == [], found
    assert len(found) == len(messages), found


SHARED = """
[defaults]
prompt = "{{text}}"
system = "Be brief."
max_tokens = 9

[api.chat]
preset = "mistral"
model = "m"

[api.vector]
preset = "openai-embeddings"
model = "m"

[api.own]
url = "http://h/"
{more}
"""


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("", ""),
        ('prompt = "x"', "api.own.prompt: only for a preset"),
        ("[defaults.params]\nn = 1", ""),
    ],
)
def test_apis_inherit_what_they_have_a_use_for(tmp_path: Path, more: str, message: str) -> None:
    """A prompt for all is not for an API without a preset, nor `system` for embeddings."""
    path = tmp_path / "c.toml"
    path.write_text(SHARED.format(more=more))
    done = run("check", "-c", str(path), env=environment(**KEYS))
    assert done.stderr.decode().removeprefix(f"tmux-fanout: {path}: ").startswith(message)
    assert done.stderr.count(b"\n") == bool(message)
    if not message:
        apis = tomllib.loads(done.stdout.decode())["api"]
        assert [len(apis["chat"]["json"]["messages"]), apis["vector"]["json"]["input"]] == [
            2,
            "{text}",
        ]


def test_a_prompt_for_no_api_is_a_mistake(tmp_path: Path) -> None:
    """Where no API has a preset, it is probably the preset that is missing."""
    path = tmp_path / "c.toml"
    path.write_text('[defaults]\nprompt = "{id}"\n[api.a]\nurl = "http://h/"\n')
    done = run("check", "-c", str(path))
    assert b"c.toml: defaults.prompt: only for a preset: add preset" in done.stderr
    assert done.stderr.count(b"\n") == 1


GATE = {"url": "https://h.test/$(model)", "auth": {"bearer": "k"}}


@pytest.mark.parametrize(
    ("url", "is_sent"),
    [
        (None, True),
        ("https://H.test/other?x", True),
        ("https://h.test.evil.test/", False),
        ("https://h.test@evil.test/", False),
        ("https://h.test:8443/", False),
        ("http://h.test/", False),
        ("${GATE}/v1", False),
    ],
)
def test_credentials_of_a_preset_stay_with_its_origin(url: str | None, is_sent: bool) -> None:
    """Another host gets those that it is given, and everything else of the preset."""
    keys: dict[str, Any] = {"model": "m"} if url is None else {"url": url}
    preset = {**GATE, "headers": {"X-V": "1", "X-Key": "k"}}
    api = Api("a", preset=preset, **keys)
    assert (api.auth is not None, "X-Key" in api.headers) == (is_sent, is_sent)
    assert api.headers["X-V"] == "1"
    given = Api("a", preset=preset, auth={"bearer": "mine"}, **keys)
    assert given.auth == {"bearer": "mine"}
    derived = Api("a", preset={"preset": preset, **keys})
    assert (derived.auth is not None, "X-Key" in derived.headers) == (is_sent, is_sent)


def test_a_staging_host_gets_no_key_of_production(server: Loopback, tmp_path: Path) -> None:
    """A profile leads an API to another host, with a key of its own."""
    path = tmp_path / "c.toml"
    path.write_text(
        '[defaults]\nheaders = { X-Team-Key = "t" }\n'
        '[api.a]\npreset = "anthropic-messages"\nmodel = "m"\nprompt = "p"\nmax_tokens = 9\n'
        f'[profile.staging.api.a]\nurl = "{server.url("/v1/messages")}"\n'
        'headers = { x-api-key = "${STAGING}" }\n'
    )
    env = environment(STAGING="s")
    run("-c", str(path), "--profile", "staging", stdin=RECORD, env=env)
    headers = {name.lower(): value for name, value in server.headers[0].items()}
    assert "authorization" not in headers
    assert (headers["x-api-key"], headers["x-team-key"]) == ("s", "t")
    assert "anthropic-version" in headers


def test_added_apis_take_no_preset_over(server: Loopback, tmp_path: Path) -> None:
    """What -a adds is another host, which must not get a preset's credentials."""
    path = tmp_path / "c.toml"
    path.write_text('[defaults]\npreset = "openai-chat"\nmodel = "m"\nprompt = "{id}"\n')
    done = run("-c", str(path), "-a", f"x={server.url()}", stdin=b'{"id": 1}\n', env=environment())
    assert done.returncode == 0, done.stderr
    assert server.bodies == [b'{"id": 1}']


def test_programs_use_presets() -> None:
    """The object has the keys of the preset in its place, and can be changed."""
    api = Api("a", preset="mistral", model="m", prompt="{q}", params={"n": 1}, limit=4)
    assert api.url == "https://api.mistral.ai/v1/chat/completions"
    assert (api.json["n"], api.limit, api.preset, api.prompt) == (1, 4, None, None)
    own = {"url": "http://h/", "json": {"q": "$(prompt)", "s": "$(system?)"}}
    assert Api("a", preset=own, prompt="{q}").json == {"q": "{q}"}
    with pytest.raises(ConfigError, match=r"^API 'a': model: preset 'mistral' needs it"):
        Api("a", preset="mistral", prompt="x")


def test_presets_are_listed(tmp_path: Path) -> None:
    """Those that ship with the program have a line of what they are for."""
    path = tmp_path / "c.toml"
    path.write_text('[preset.mine]\npreset = "ollama"\n')
    listed = run("presets", "-c", str(path)).stdout.decode().splitlines()
    assert [line.split()[0] for line in listed] == [*shipped_names(), "mine"]
    assert listed[-1].endswith(f"of {path}")
    assert all(len(line.split()) > 2 for line in listed)


@pytest.mark.parametrize("name", shipped_names())
def test_presets_are_shown_as_toml(tmp_path: Path, name: str) -> None:
    """What is shown can be pasted into a file, and changed there."""
    shown = run("presets", name).stdout.decode()
    assert list(tomllib.loads(shown)["preset"]) == [name]
    path = tmp_path / "c.toml"
    url = 'url = "http://h/"\n' if name == "openai-compatible" else ""
    more = "" if "embeddings" in name else 'max_tokens = 9\nsystem = "s"\n'
    api = f'[api.a]\npreset = "{name}"\nmodel = "m"\nprompt = "p"\n{url}{more}'
    path.write_text(shown + api)
    own = run("check", "-c", str(path), env=environment(**KEYS))
    path.write_text(api)
    assert (own.returncode, own.stderr) == (0, b"")
    assert own.stdout == run("check", "-c", str(path), env=environment(**KEYS)).stdout


def test_a_preset_of_ones_own_is_shown_without_secrets(tmp_path: Path) -> None:
    """Literal secrets are hidden; variables and slots are not."""
    path = tmp_path / "c.toml"
    path.write_text('[preset.p]\nheaders = { X-Key = "c4n4ry" }\njson = { m = "$(model)" }\n')
    done = run("presets", "-c", str(path), "p")
    assert done.stdout == b'[preset.p]\nheaders = { X-Key = "***" }\njson = { m = "$(model)" }\n'
    unknown = run("presets", "-c", str(path), "q")
    assert (unknown.returncode, unknown.stderr.count(b"\n")) == (2, 1)
    assert b"unknown preset 'q': " in unknown.stderr

"""Presets against the providers' own clients: `tox -e presets`.

Each client sends one prompt to a server, and so does the preset: the requests are the same.  The
answer of the server is one that the client's types accept, and means the same to both.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from support.loopback import Loopback
from support.providers import ANSWER, EMBEDDINGS, KEYS, PROVIDERS, Provider, answer_as

from tmux_fanout import Api, fanout_sync

pytestmark = pytest.mark.filterwarnings("default")  # those of the clients are not ours

PROMPT, SYSTEM = 'Summarise: the "new" pump leaks.', "Be brief."
GIVEN = {"model": "m-1", "prompt": "Summarise: {text}", "system": SYSTEM, "max_tokens": 99}
RECORD = {"text": 'the "new" pump leaks.'}


class Heard(NamedTuple):
    """What a client makes of the answer: its text, and the units of input and output."""

    text: str | None
    input: int
    output: int


def openai(url: str, key: str) -> Heard:
    sdk = pytest.importorskip("openai")
    client = sdk.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
    made = client.chat.completions.create(
        model="m-1",
        messages=[{"role": "system", "content": SYSTEM}, {"role": "user", "content": PROMPT}],
        max_completion_tokens=99,
    )
    sdk.types.chat.ChatCompletion.model_validate(made.to_dict(), strict=True)
    return Heard(
        made.choices[0].message.content, made.usage.prompt_tokens, made.usage.completion_tokens
    )


def anthropic(url: str, key: str) -> Heard:
    sdk = pytest.importorskip("anthropic")
    client = sdk.Anthropic(base_url=url, api_key=key, max_retries=0)
    made = client.messages.create(
        model="m-1",
        system=SYSTEM,
        messages=[{"role": "user", "content": PROMPT}],
        max_tokens=99,
    )
    sdk.types.Message.model_validate(made.to_dict(), strict=True)
    text = "".join(block.text for block in made.content if block.type == "text")
    return Heard(text, made.usage.input_tokens, made.usage.output_tokens)


def gemini(url: str, key: str) -> Heard:
    sdk = pytest.importorskip("google.genai")
    types = sdk.types
    client = sdk.Client(api_key=key, http_options=types.HttpOptions(base_url=url))
    made = client.models.generate_content(
        model="m-1",
        contents=PROMPT,
        config=types.GenerateContentConfig(system_instruction=SYSTEM, max_output_tokens=99),
    )
    types.GenerateContentResponse.model_validate(PROVIDERS["gemini"].reply, by_alias=True)
    usage = made.usage_metadata
    output = usage.candidates_token_count + usage.thoughts_token_count
    return Heard(made.text, usage.prompt_token_count, output)


def mistral(url: str, key: str) -> Heard:
    sdk = pytest.importorskip("mistralai.client")
    client = sdk.Mistral(api_key=key, server_url=url)
    made = client.chat.complete(
        model="m-1",
        messages=[{"role": "system", "content": SYSTEM}, {"role": "user", "content": PROMPT}],
        max_tokens=99,
    )
    return Heard(
        made.choices[0].message.content, made.usage.prompt_tokens, made.usage.completion_tokens
    )


CLIENTS: dict[str, Callable[[str, str], Heard]] = {
    "openai-chat": openai,
    "anthropic-messages": anthropic,
    "gemini": gemini,
    "mistral": mistral,
}
_OWN = {"stream", "safe_prompt"}  # members that clients send with their defaults


def said(body: bytes) -> Any:
    """Return what a body says, in one way where there are several."""
    value = json.loads(body)
    kept = {
        key: each for key, each in value.items() if key not in _OWN or each not in (None, False)
    }
    if "systemInstruction" in kept:
        kept["systemInstruction"].pop("role", None)
    return kept


def call(preset: str, server: Loopback, **given: Any) -> Any:
    api = Api("a", preset=preset, endpoints=[server.url("")], **given)
    [result] = fanout_sync([RECORD], [api])
    return result["a"].body


@pytest.mark.parametrize(("name", "client"), CLIENTS.items(), ids=CLIENTS)
def test_preset_sends_what_the_client_sends(
    server: Loopback,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    client: Callable[[str, str], Heard],
) -> None:
    """Path, credentials and body are the same, and so is what the answer says."""
    provider: Provider = PROVIDERS[name]
    answer_as(server, provider)
    key = KEYS[provider.key]
    heard = client(server.url("").rstrip("/"), key)
    monkeypatch.setenv(provider.key, key)
    body = call(name, server, **GIVEN)
    assert body["text"] == heard.text == ANSWER
    assert body["usage"] == {"input": heard.input, "output": heard.output}
    assert server.paths == [provider.path] * 2
    theirs, ours = ({k.lower(): v for k, v in each.items()} for each in server.headers)
    assert ours[provider.header] == theirs[provider.header]
    assert ours.get("anthropic-version") == theirs.get("anthropic-version")
    assert said(server.bodies[1]) == said(server.bodies[0])


def test_preset_asks_for_embeddings_as_the_client_does(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client asks for base64, which is the only difference."""
    sdk = pytest.importorskip("openai")
    answer_as(server, EMBEDDINGS)
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    client = sdk.OpenAI(base_url=server.url("/v1"), api_key="k", max_retries=0)
    made = client.embeddings.create(model="m-1", input=PROMPT, encoding_format="float")
    body = call("openai-embeddings", server, model="m-1", prompt="Summarise: {text}")
    assert body["embedding"] == made.data[0].embedding
    assert body["usage"]["input"] == made.usage.prompt_tokens
    theirs, ours = map(json.loads, server.bodies)
    assert {**ours, "encoding_format": "float"} == theirs

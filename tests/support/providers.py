"""Twins of the APIs that presets are for: where they are called, and what they answer."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from support.loopback import Loopback

ANSWER = "It leaks."
_ERROR = {"error": {"message": "overloaded"}}


class Provider(NamedTuple):
    """An API.

    Attributes:
        path: that requests go to.
        key: variable that holds its key, or "".
        header: that the key is sent in, in lower case.
        reply: the body of an answer, as its documentation shows it.
        finish: why the answer ends, in its words.
        error: the body of a failure that comes with status 200, as gateways make it.
    """

    path: str
    key: str
    header: str
    reply: dict[str, Any]
    finish: str
    error: dict[str, Any] = _ERROR


def _completion(**more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": ANSWER, **more}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": "m-1",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15},
    }


PROVIDERS = {
    "openai-chat": Provider(
        "/v1/chat/completions",
        "OPENAI_API_KEY",
        "authorization",
        _completion(refusal=None),
        "stop",
    ),
    "anthropic-messages": Provider(
        "/v1/messages",
        "ANTHROPIC_API_KEY",
        "authorization",
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "m-1",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
                {"type": "text", "text": "It ", "citations": None},
                {"type": "text", "text": "leaks.", "citations": None},
            ],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 12, "output_tokens": 3},
        },
        "end_turn",
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
    ),
    "gemini": Provider(
        "/v1/models/m-1:generateContent",
        "GEMINI_API_KEY",
        "x-goog-api-key",
        {
            "candidates": [
                {
                    "content": {
                        "role": "model",
                        "parts": [{"text": "Hm.", "thought": True}, {"text": ANSWER}],
                    },
                    "finishReason": "STOP",
                    "index": 0,
                }
            ],
            "usageMetadata": {
                "promptTokenCount": 12,
                "candidatesTokenCount": 2,
                "thoughtsTokenCount": 1,
                "totalTokenCount": 15,
            },
            "modelVersion": "m-1",
        },
        "STOP",
    ),
    "mistral": Provider(
        "/v1/chat/completions", "MISTRAL_API_KEY", "authorization", _completion(), "stop"
    ),
    "ollama": Provider(
        "/api/chat",
        "",
        "",
        {
            "model": "m-1",
            "created_at": "2026-11-27T08:30:00Z",
            "message": {"role": "assistant", "content": ANSWER},
            "done": True,
            "done_reason": "stop",
            "prompt_eval_count": 12,
            "eval_count": 3,
        },
        "stop",
        {"error": "model not found"},
    ),
    "openai-compatible": Provider("/v1/chat/completions", "", "", _completion(), "stop"),
}

EMBEDDINGS = Provider(
    "/v1/embeddings",
    "OPENAI_API_KEY",
    "authorization",
    {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.25, -0.5]}],
        "model": "m-1",
        "usage": {"prompt_tokens": 12, "total_tokens": 12},
    },
    "",
)

KEYS = {p.key: f"k-{p.key}" for p in (*PROVIDERS.values(), EMBEDDINGS) if p.key}


def answer_as(server: Loopback, provider: Provider, body: Any = None) -> None:
    """Make a server answer as a provider does, or with another body."""
    data = json.dumps(provider.reply if body is None else body).encode()
    server.more_headers = {"Content-Type": "application/json"}
    server.replies = {provider.path: lambda _: (200, data)}

"""Cases of AWS's test suite for Signature Version 4, with the signatures that it expects.

They are from https://github.com/awslabs/aws-c-auth, tests/aws-signing-test-suite/v4, which is under
the Apache License 2.0.  Left out are requests that this program never sends: with several headers
of one name, headers over several lines, and characters in a URL that are not encoded; and those for
S3 (`unnormalized`), which has a signer of its own.
"""

from __future__ import annotations

from typing import NamedTuple

TIME = "20150830T123600Z"
KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
REGION, SERVICE = "us-east-1", "service"

_HOST = (("Host", "example.amazonaws.com"),)
_VANILLA = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
_POST = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
_QUERY = "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"
_LETTERS = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class Case(NamedTuple):
    """A request and its signature.

    Attributes:
        token: of temporary credentials; "" for others.
        hashes_body: whether a header has the hash of the body.
    """

    name: str
    signature: str
    method: str = "GET"
    target: str = "/"
    headers: tuple[tuple[str, str], ...] = _HOST
    body: bytes | None = None
    token: str = ""
    hashes_body: bool = False


def _form(charset: str, signature: str) -> Case:
    content = ("Content-Type", f"application/x-www-form-urlencoded{charset}")
    name = "post-x-www-form-urlencoded" + ("-parameters" if charset else "")
    body = b"Param1=value1"
    return Case(name, signature, "POST", "/", (content, *_HOST), body, hashes_body=True)


CASES = [
    Case(
        "get-header-value-trim",
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
        headers=(*_HOST, ("My-Header1", " value1"), ("My-Header2", ' "a   b   c"')),
    ),
    Case("get-relative-normalized", _VANILLA, target="/example/.."),
    Case("get-relative-relative-normalized", _VANILLA, target="/example1/example2/../.."),
    Case("get-slash-dot-slash-normalized", _VANILLA, target="/./"),
    Case("get-slash-normalized", _VANILLA, target="//"),
    Case(
        "get-slash-pointless-dot-normalized",
        "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5",
        target="/./example",
    ),
    Case(
        "get-slashes-normalized",
        "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84",
        target="//example//",
    ),
    Case(
        "get-unreserved",
        "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
        target=f"/{_LETTERS}",
    ),
    Case(
        "get-vanilla-empty-query-key",
        "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb",
        target="/?Param1=value1",
    ),
    Case(
        "get-vanilla-query-order-encoded",
        "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
        target="/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
    ),
    Case(
        "get-vanilla-query-order-key-case",
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        target="/?Param2=value2&Param1=value1",
    ),
    Case(
        "get-vanilla-query-unreserved",
        "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
        target=f"/?{_LETTERS}={_LETTERS}",
    ),
    Case("get-vanilla", _VANILLA),
    Case(
        "get-vanilla-with-session-token",
        "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
        token="6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267",
    ),
    Case("post-header-key-case", _POST, "POST"),
    Case(
        "post-header-key-sort",
        "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
        "POST",
        headers=(*_HOST, ("My-Header1", "value1")),
    ),
    Case(
        "post-header-value-case",
        "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
        "POST",
        headers=(*_HOST, ("My-Header1", "VALUE1")),
    ),
    Case("post-vanilla-query", _QUERY, "POST", "/?Param1=value1"),
    _form("; charset=utf-8", "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422"),
    _form("", "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b"),
]

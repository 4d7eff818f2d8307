"""The function for AWS that the how-to shows, with botocore, on AWS's own cases."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from suites.sigv4 import CASES, KEY, REGION, SECRET, SERVICE, TIME, Case
from support.client import Attempt
from support.pages import DOCS, Page

from tmux_fanout.core.http.auth import Signer
from tmux_fanout.core.http.messages import Origin, Request, RequestHead, Response
from tmux_fanout.transports.base import Progress
from tmux_fanout.transports.layers.functions import find_function
from tmux_fanout.transports.layers.signing import SigningTransport


class Recorder:
    """A transport that keeps the request."""

    def __init__(self) -> None:
        self.sent: list[Request] = []

    async def send(self, request: Request, progress: Progress) -> Response:
        self.sent.append(request)
        return Response(200, (), b"", 0)

    async def aclose(self) -> None:
        """Nothing is open."""


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The module `aws` of the how-to."""
    path = tmp_path_factory.mktemp("how-to") / "aws.py"
    path.write_text(Page(DOCS / "how-to/credentials.md").files["aws.py"])
    return _load(path)


def _load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("aws_of_the_how_to", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_requests_are_signed_as_aws_expects(
    case: Case, module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is sent has the signature of the case, beside the headers that are not signed."""
    import botocore.auth
    import botocore.compat

    now = botocore.compat.datetime.datetime.strptime(TIME, "%Y%m%dT%H%M%SZ")
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: now)
    arguments = {"key": KEY, "secret": SECRET, "region": REGION, "service": SERVICE}
    if case.token:
        arguments["token"] = case.token
    signer = Signer(module.sign, arguments | ({"hash_body": True} if case.hashes_body else {}))
    recorder = Recorder()
    transport = SigningTransport(recorder, signer.name, find_function(signer))
    unsigned = (("Accept", "*/*"), ("User-Agent", "x"))
    origin = Origin("https", "example.amazonaws.com", 443)
    head = RequestHead(case.method, origin, case.target, (*case.headers, *unsigned))
    await transport.send(Request(head, case.body), Attempt())
    [sent] = recorder.sent
    headers = dict(sent.head.headers)
    assert headers["Authorization"].endswith(f"Signature={case.signature}")
    assert headers["X-Amz-Date"] == TIME
    assert headers.items() >= {*case.headers, *unsigned}
    assert "Content-Length" not in headers
    assert sent.body == case.body

"""What a run would send, as shell input: comments, and a curl command for each request."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tmux_fanout.core.boundary import internal_error
from tmux_fanout.core.config.plan import ApiPlan, RunPlan, plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.errors import ErrorInfo
from tmux_fanout.core.explain.curl import connection_options, curl_command, token_command, without
from tmux_fanout.core.explain.placeholders import MaskedApi, mask_api
from tmux_fanout.core.explain.shell import Placeholders, comment
from tmux_fanout.core.http.messages import Headers, Request, RequestHead
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.requests.batch import BatchPlan
from tmux_fanout.core.requests.builder import Skipped
from tmux_fanout.core.requests.reuse.cache import CachePlan
from tmux_fanout.core.text import counted, printable
from tmux_fanout.core.tracing.traceparent import HEADER
from tmux_fanout.core.units import show_duration
from tmux_fanout.core.uploads.form import Upload

_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_TOKEN = "ACCESS_TOKEN"


class Explainer:
    """Explains records one after the other.

    Args:
        apis: as they are written.
        settings: of the run, as they are written.
        plan: what both resolve to with `env`.
        env: the environment.
        nonce: letters and digits that occur in no record.
        now: seconds since 1970, for `now()`.
        is_folder: returns whether a path is that of a folder.
        inspect: looks at the files of a form, as `transports.layers.uploads.measure` does, and
            returns why they cannot be sent, or None.

    Attributes:
        all_ok: whether all records so far can be sent.
    """

    def __init__(
        self,
        apis: Sequence[Api],
        settings: RunSettings,
        plan: RunPlan,
        env: Mapping[str, str],
        *,
        nonce: str,
        now: float,
        is_folder: Callable[[str], bool],
        inspect: Callable[[Upload], ErrorInfo | None],
    ) -> None:
        self.all_ok = True
        placeholders = Placeholders(nonce)
        masked = [mask_api(api, env, placeholders) for api in apis]
        shown = plan_run([each.api for each in masked], settings, {})
        self._calls = [
            _Calls(
                plan=real,
                shown=shown.apis[number],
                masked=api,
                placeholders=placeholders,
                now=now,
                inspect=inspect,
                options=[
                    *_connection(real, shown.apis[number], api, is_folder),
                    *_proxy(real, api, env),
                ],
            )
            for number, (real, api) in enumerate(zip(plan.apis, masked))
        ]

    def __repr__(self) -> str:
        return f"<Explainer: {len(self._calls)} APIs>"

    def explain(self, record: Record) -> Iterator[str]:
        """Yield the lines for a record; those for a batch come when it is full."""
        if record.error is not None:
            self.all_ok = False
            yield comment(f"record {record.index}: {record.error.kind}: {record.error.message}")
            return
        for calls in self._calls:
            try:
                request = calls.request(record)
                lines = list(calls.explain(record.index, request))
            except Exception as exc:
                request = internal_error(exc)
                lines = list(calls.explain(record.index, request))
            if isinstance(request, ErrorInfo):
                self.all_ok = False
            yield from lines

    def finish(self) -> Iterator[str]:
        """Yield the lines for batches that are not full."""
        for calls in self._calls:
            yield from calls.finish()


class _Calls:
    """The calls of one API.

    Args:
        plan: of the API.
        shown: the same plan with placeholders for secrets.
        masked: the settings with placeholders for secrets.
        placeholders: those in `shown` and `masked`.
        now: seconds since 1970, for `now()`.
        inspect: as for `Explainer`.
        options: of curl.
    """

    def __init__(
        self,
        *,
        plan: ApiPlan,
        shown: ApiPlan,
        masked: MaskedApi,
        placeholders: Placeholders,
        now: float,
        inspect: Callable[[Upload], ErrorInfo | None],
        options: Sequence[str],
    ) -> None:
        self._plan = plan
        self._now = now
        self._inspect = inspect
        self._shown = shown.requests
        self._user = [] if masked.user is None else ["-u", masked.user]
        if masked.is_digest:
            self._user.insert(0, "--digest")
        self._placeholders = placeholders
        fallback_of = masked.api.fallback_of
        self._name = plan.name if fallback_of is None else f"{plan.name}, fallback of {fallback_of}"
        self._after = " and ".join(plan.after.values())
        api = masked.api
        texts = [api.url, api.body, api.when, api.text, *api.headers.values(), repr(api.json)]
        self._needs_results = bool(plan.after) and any("_results" in text for text in texts if text)
        self._options = options
        remarks = _remarks(shown, masked, plan.cache)
        self._remarks = [placeholders.named(each) for each in remarks]
        self._oauth2 = masked.oauth2
        self._batch: list[tuple[int, Request]] = []

    def request(self, record: Record) -> Request | Skipped | ErrorInfo | None:
        """Return what is sent for a record; None if it depends on the results of other APIs."""
        if self._needs_results:
            return None
        results: dict[str, Any] | None = {} if self._plan.after else None
        real = self._plan.requests.build(record, results, self._now)
        shown = self._shown.build(record, results, self._now)
        if isinstance(real, Skipped):
            return real
        if isinstance(real, ErrorInfo) and isinstance(shown, Request):
            # Its message may show the value of a variable.
            return ErrorInfo("template", "the record does not fit the URL or a header")
        if isinstance(shown, Request) and self._plan.batch:
            return self._item(self._plan.batch, shown)
        if isinstance(shown, Request) and isinstance(shown.body, Upload):
            return self._inspect(shown.body) or shown
        return shown

    def _item(self, batch: BatchPlan, request: Request) -> Request | ErrorInfo:
        """Return the request of a record that shares one, or why no batch can have it."""
        key = batch.key_of(request)
        if isinstance(key, ErrorInfo):
            return key
        size = batch.size_of(request)
        if isinstance(size, ErrorInfo):
            return size
        return request

    def explain(self, index: int, request: Request | Skipped | ErrorInfo | None) -> Iterator[str]:
        """Yield the lines for a call."""
        title = f"record {index}, {self._name}"
        if request is None:
            yield comment(f"{title}: after {self._after}: made from what comes back")
        elif isinstance(request, ErrorInfo):
            yield comment(f"{title}: {request.kind}: {self._placeholders.named(request.message)}")
        elif isinstance(request, Skipped):
            yield comment(f"{title}: skipped by when")
        elif self._plan.batch:
            if not self._plan.batch.holds([each for _, each in self._batch], request):
                yield from self.finish()
            self._batch.append((index, request))
            if len(self._batch) == self._plan.batch.size:
                yield from self.finish()
        else:
            yield comment(f"{title}: after {self._after}" if self._after else title)
            yield from self._command(request)

    def finish(self) -> Iterator[str]:
        """Yield the lines for an incomplete batch."""
        if not self._batch or not self._plan.batch:
            return
        indexes, requests = zip(*self._batch)
        self._batch.clear()
        which = f"record {indexes[0]}"
        if len(indexes) > 1:
            which = f"records {', '.join(map(str, indexes[:-1]))} and {indexes[-1]}"
        yield comment(f"{which}, {self._name}")
        request = self._plan.batch.request(requests)
        if isinstance(request, ErrorInfo):
            yield comment(f"{request.kind}: {self._placeholders.named(request.message)}")
        else:
            yield from self._command(request)

    def _command(self, request: Request) -> Iterator[str]:
        yield from map(comment, self._remarks)
        if self._oauth2 and self._remarks:
            yield f"# {token_command(self._oauth2, self._placeholders)}"
        self._remarks = []
        if isinstance(request.body, Upload):
            yield from map(comment, _describe_files(request.body))
        head, options = request.head, self._options
        if self._user:
            options = [*options, *self._user]
            head = without(head, "authorization")
        if self._oauth2:
            head = _with(head, ("Authorization", f"Bearer {self._placeholders.variable(_TOKEN)}"))
        yield curl_command(Request(head, request.body), options, self._placeholders)


def _describe_files(upload: Upload) -> Iterator[str]:
    for index, file in enumerate(upload.files):
        size = counted(upload.seen[index].size, "byte")
        name = "" if file.filename == file.steps[-1] else f", sent as {printable(file.filename)}"
        yield f"{printable(file.name)}: {printable(file.path)}, {size} of {file.type}{name}"


def _connection(
    plan: ApiPlan, shown: ApiPlan, masked: MaskedApi, is_folder: Callable[[str], bool]
) -> list[str]:
    return connection_options(
        is_tls=plan.origin.is_tls,
        http2=plan.http2,
        tls=plan.tls,
        ca_is_folder=plan.tls.ca is not None and is_folder(plan.tls.ca),
        socket=_socket(plan, masked) or shown.origin.socket,
        connect_to=_connect_to(plan, masked),
        seconds=min(plan.attempt_timeout, plan.retry.timeout),
    )


def _socket(plan: ApiPlan, masked: MaskedApi) -> str | None:
    """Return the path under `socket`, with a variable in it unless that hides what kind it is."""
    kinds = {path.startswith("@") for path in (masked.socket or "", plan.origin.socket)}
    return masked.socket if len(kinds) == 1 else plan.origin.socket


def _connect_to(plan: ApiPlan, masked: MaskedApi) -> str | None:
    if plan.connect_to is None:
        return None
    same_port = ":" if plan.connect_to.port is None else ""
    return f"::{masked.connect_to}{same_port}"


def _proxy(plan: ApiPlan, masked: MaskedApi, env: Mapping[str, str]) -> list[str]:
    """Return curl's options for the proxy; curl reads the same variables as a run does."""
    if masked.proxy is not None:
        return ["--proxy", masked.proxy]
    set_here = any(env.get(name) or env.get(name.upper()) for name in _PROXIES)
    return ["--noproxy", "*"] if set_here and plan.origin not in plan.proxies else []


def _remarks(plan: ApiPlan, masked: MaskedApi, cache: CachePlan | None) -> tuple[str, ...]:
    """Return the remarks that precede the first command for an API, which may have a cache."""
    remarks = list(masked.warnings)
    others = [
        each.origin.at(each.prefix) + (f" (with {own} of its own)" if own else "")
        for each, own in zip(plan.endpoints[1:], masked.others)
    ]
    if others:
        remarks.append(f"or to {', '.join(others)}")
    if plan.hosts:
        remarks.append("a run connects to addresses that its hosts allow, curl to any")
    if plan.compress and plan.requests.has_body and plan.requests.body_format != "multipart":
        remarks.append("a run compresses bodies of 1 KiB or more, curl none")
    if plan.redirects:
        followed = counted(plan.redirects, "redirect")
        where = "to its hosts" if plan.hosts else "within the origin"
        remarks.append(f"a run follows up to {followed} {where}, curl none")
    if plan.traceparent and HEADER not in map(str.lower, masked.api.headers):
        remarks.append(
            f"a run adds a {HEADER} header to each attempt, with a trace for each record"
        )
    if plan.share:
        remarks.append("a run makes identical requests once, for all records in the window")
    if cache:
        ttl = show_duration(cache.ttl)
        remarks.append(f"a run takes answers from {cache.shown} that are up to {ttl} old")
    if plan.series:
        remarks.append(plan.series.summary)
    if masked.signer:
        remarks.append(f"a run adds the headers that {masked.signer} returns, curl does not")
    if masked.oauth2:
        remarks.append(f"{_TOKEN} is the access_token in the response to:")
    return tuple(f"{plan.name}: {remark}" for remark in remarks)


def _with(head: RequestHead, header: tuple[str, str]) -> RequestHead:
    headers: Headers = (*head.headers, header)
    return RequestHead(head.method, head.origin, head.target, headers)

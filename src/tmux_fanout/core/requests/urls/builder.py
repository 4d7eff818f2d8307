"""From a record to the request of an API whose host comes from the record as well."""

from __future__ import annotations

from typing import Any

from tmux_fanout.core.http.messages import RequestHead
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.requests.builder import RequestBuilder
from tmux_fanout.core.requests.urls.record_url import RecordUrl


class HostedRequestBuilder(RequestBuilder):
    """Builds requests whose origin and target are found in records.

    Args:
        record_url: finds them.
        settings: as for `RequestBuilder`.
    """

    __slots__ = ("record_url",)

    def __init__(self, record_url: RecordUrl, **settings: Any) -> None:
        super().__init__(**settings)
        self.record_url = record_url
        self._ready_head = None
        self.passes_record = False

    @property
    def fields(self) -> dict[str, str]:
        return dict.fromkeys(self.record_url.names, "url") | super().fields

    def _head(self, record: Record, value: Any) -> RequestHead:
        origin, target = self.record_url.locate(value)
        head = super()._head(record, value)
        headers = (("Host", origin.authority), *head.headers)
        return RequestHead(head.method, origin, target, headers, auth=head.auth)

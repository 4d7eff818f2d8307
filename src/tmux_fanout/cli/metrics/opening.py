"""Opening what metrics go to; `prometheus_client` is only needed, and loaded, where they do."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from tmux_fanout.cli.stderr import complain
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.text import printable

if TYPE_CHECKING:
    from tmux_fanout.cli.metrics.reporting import Exposition


@contextmanager
def open_metrics(
    address: str | None,
    path: str | None,
    others: Sequence[str | None],
    *,
    verbose: int,
) -> Iterator[Exposition | None]:
    """Open what the metrics of a run go to, for the block; None if that is nothing.

    Args:
        address: that they are served at, or None.
        path: of the file that they are written to, or None.
        others: paths of the inputs and of all other outputs of the run.
        verbose: how much is reported; below 0: as little as possible.

    Raises:
        ConfigError: one of them cannot be used, or `prometheus_client` is not installed.
    """
    if address is None and path is None:
        yield None
        return
    option = "--metrics" if address is not None else "--metrics-file"
    try:
        from tmux_fanout.cli.metrics.file import check_metrics_file
        from tmux_fanout.cli.metrics.reporting import Exposition
        from tmux_fanout.cli.metrics.server import listening, url_of
    except ImportError as exc:
        if exc.name is None or not exc.name.startswith("prometheus_client"):
            raise
        why = "prometheus_client is not installed: pip install 'tmux-fanout[metrics]'"
        raise ConfigError(f"{option}: {why}") from None
    if path is not None:
        if any(_is_one(path, other) for other in others):
            shown = printable(repr(path))
            raise ConfigError(f"--metrics-file: {shown} has another use: use another file")
        check_metrics_file(path)
    with ExitStack() as stack:
        listener = stack.enter_context(listening(address)) if address is not None else None
        if listener and verbose >= 0 and (verbose > 0 or str(address).endswith(":0")):
            complain(f"metrics at {url_of(listener)}")
        yield Exposition(listener, path, complain)


def _is_one(path: str, other: str | None) -> bool:
    return other is not None and os.path.realpath(other) == os.path.realpath(path)

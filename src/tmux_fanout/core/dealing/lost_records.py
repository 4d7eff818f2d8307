"""What is known of records that a member had and said nothing of.

For each API there is a flag whether a record may have been sent to it, or None instead of the flags
where nobody knows.
"""

from __future__ import annotations

from collections.abc import Sequence

from tmux_fanout.core.errors import ErrorInfo, ErrorKind
from tmux_fanout.core.results.outcome import Outcome

Sent = Sequence[bool] | None


def may_repeat(sent: Sent, idempotent: Sequence[bool]) -> bool:
    """Whether no request was sent that must not be made twice.

    Args:
        sent: to which APIs the record may have been sent; where nobody knows, nobody has to.
        idempotent: to which APIs a request may be made twice.
    """
    return sent is None or not any(
        was_sent and not is_idempotent for was_sent, is_idempotent in zip(sent, idempotent)
    )


def lost_outcomes(
    kind: ErrorKind, why: str, sent: Sent, idempotent: Sequence[bool]
) -> list[Outcome]:
    """What the calls of such a record came to; arguments as for `may_repeat`.

    Args:
        kind, why: of the error of each.
    """
    outcomes = []
    for place, is_idempotent in enumerate(idempotent):
        may_be_sent = sent is None or sent[place]
        words = f"{why}; {'it may have been sent' if may_be_sent else 'not sent'}"
        error = ErrorInfo(kind, words, may_be_sent and not is_idempotent)
        outcomes.append(Outcome(False, error=error, attempts=int(may_be_sent)))
    return outcomes

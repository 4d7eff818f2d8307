"""The outcomes of records that a member held and did not report on.

`Sent` has a flag for each API: whether a record may have been sent to it.  It is None where that is
not known.
"""

from __future__ import annotations

from collections.abc import Sequence

from tmux_fanout.core.errors import ErrorInfo, ErrorKind
from tmux_fanout.core.results.outcome import Outcome

Sent = Sequence[bool] | None


def may_repeat(sent: Sent, idempotent: Sequence[bool]) -> bool:
    """Return whether no request was sent that must not be sent twice.

    Args:
        sent: which APIs the record may have been sent to; None only where all are idempotent.
        idempotent: which APIs accept a request twice.
    """
    return sent is None or not any(
        was_sent and not is_idempotent for was_sent, is_idempotent in zip(sent, idempotent)
    )


def lost_outcomes(
    kind: ErrorKind,
    why: str,
    sent: Sent,
    idempotent: Sequence[bool],
    chains: Sequence[Sequence[int]],
) -> list[Outcome]:
    """Return the outcomes of a lost record.

    Args:
        kind, why: of the error of each outcome.
        sent: which APIs the record may have been sent to; None: any of them.
        idempotent: which APIs accept a request twice; for the others the error is ambiguous where
            the record may have been sent.
        chains: the APIs of each outcome, as in `RunPlan`.
    """
    outcomes = []
    for chain in chains:
        sent_to = chain if sent is None else [index for index in chain if sent[index]]
        message = f"{why}; {'it may have been sent' if sent_to else 'not sent'}"
        error = ErrorInfo(kind, message, not all(idempotent[index] for index in sent_to))
        attempts = 1 if sent is None else len(sent_to)
        outcomes.append(Outcome(False, error=error, attempts=attempts))
    return outcomes

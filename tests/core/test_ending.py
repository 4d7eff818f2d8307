"""Exit statuses and endings of a run."""

import pytest

from tmux_fanout.core.ending import Ending, exit_status


@pytest.mark.parametrize(
    ("ending", "all_ok", "status"),
    [
        (Ending.FINISHED, True, 0),
        (Ending.FINISHED, False, 1),
        (Ending.INPUT_BROKEN, True, 1),
        (Ending.INPUT_BROKEN, False, 1),
        (Ending.OUTPUT_BROKEN, True, 1),
        (Ending.OUTPUT_BROKEN, False, 1),
        (Ending.DEADLINE, True, 124),
        (Ending.GIVEN_UP, True, 4),
        (Ending.COST_LIMIT, True, 4),
        (Ending.DEADLINE, False, 124),
        (Ending.SIGHUP, True, 129),
        (Ending.SIGHUP, False, 129),
        (Ending.SIGINT, True, 130),
        (Ending.SIGINT, False, 130),
        (Ending.OUTPUT_CLOSED, True, 141),
        (Ending.OUTPUT_CLOSED, False, 141),
        (Ending.SIGTERM, True, 143),
        (Ending.SIGTERM, False, 143),
        (Ending.WORKERS_GONE, False, 1),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_exit_status_is_the_contracts(ending: Ending, all_ok: bool, status: int) -> None:
    """Only a finished run can be a success, and each way of cutting it short has a status."""
    assert exit_status(ending, all_ok=all_ok) == status


def test_ending_is_the_word_in_the_summary() -> None:
    """Scripts depend on these words."""
    words = "finished, input broke off, output failed, output closed, deadline, given up"
    words += ", cost limit, SIGHUP, SIGINT, SIGTERM, death of all worker processes"
    assert ", ".join(ending.value for ending in Ending) == words


@pytest.mark.parametrize("ending", Ending)
def test_exit_status_is_0_for_a_finished_run_only(ending: Ending) -> None:
    """An ending without a status of its own must not pass for a success."""
    assert (exit_status(ending, all_ok=True) == 0) == (ending is Ending.FINISHED)

"""Sharing, caches, compression, pages, jobs, redirects, batches, endpoints and hedges together."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from support.mixture import Mixture
from support.thoroughness import share_of


@settings(max_examples=share_of(200))
@given(st.integers(0, 2**32))
def test_whatever_is_combined_each_record_gets_its_own_answer(seed: int) -> None:
    """Lines are complete and in order, limits hold, no answer is another's, nothing is left."""
    Mixture(Random(seed)).play()

"""Fixtures for runs on a Dask cluster; without Dask, their tests are skipped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.dask import Dask, dask

TOKEN = "tok-5f0c1e"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/cluster/" in item.nodeid:
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="session")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dask]:
    """A cluster of three workers, which know a token; no test may end one of them."""
    pytest.importorskip("distributed", reason="Dask is not installed: tox -e cluster")
    with dask(tmp_path_factory.mktemp("three"), 3, TOKEN=TOKEN) as cluster:
        yield cluster


@pytest.fixture
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dask]:
    """A cluster of two workers for one test, which may end them."""
    pytest.importorskip("distributed", reason="Dask is not installed: tox -e cluster")
    with dask(tmp_path_factory.mktemp("two"), 2) as cluster:
        yield cluster

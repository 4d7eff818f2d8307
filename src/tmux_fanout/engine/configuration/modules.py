"""Where modules are found that configuration files name under `auth.call`.

Their folders come last, after all that Python searches itself, so that no file there can take the
place of a module of Python's own or of an installed package.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from tmux_fanout.core.http.signing.functions import names_function
from tmux_fanout.engine.configuration.files import Written


def module_folders(written: Written) -> tuple[str, ...]:
    """Return the folders in which to find modules: those of the files, and the current one.

    There are none if the files name no function.
    """
    if not names_function(written.tables):
        return ()
    try:
        here = [os.getcwd()]
    except OSError:  # it is gone
        here = []
    files = (os.path.abspath(folder) for folder in written.folders) if here else written.folders
    return tuple(dict.fromkeys([*files, *here]))


def search_modules(folders: Iterable[str]) -> None:
    """Let modules be found in folders, too."""
    sys.path.extend(folder for folder in folders if folder not in sys.path)

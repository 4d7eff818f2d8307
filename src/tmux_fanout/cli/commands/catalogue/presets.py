"""The `presets` command: list the presets, or show one as TOML."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from tmux_fanout.cli.arguments.sources import read_config
from tmux_fanout.cli.commands.inputs import check_stdout
from tmux_fanout.cli.configuration import RUN_KEYS
from tmux_fanout.cli.stderr import complain, complain_of
from tmux_fanout.core.config.config_file import ConfigFile, parse_tables
from tmux_fanout.core.config.show import show_preset
from tmux_fanout.core.ending import Ending, exit_status
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.merging.files import Sources
from tmux_fanout.core.merging.presets import find_preset, shipped_names, shipped_text
from tmux_fanout.core.text import printable

_STDOUT = 1


def presets_command(
    closed: Sequence[int], name: str | None, config: str | None, env: Mapping[str, str]
) -> int:
    """Run the `presets` command, and return the exit status.

    Args:
        closed: standard descriptors that were closed at the start.
        name: of the preset to show; None to list them.
        config: path of the configuration file, as `-c` has it.
        env: the environment, to find that file.
    """
    try:
        check_stdout(closed)
        file = _read(config, env)
        text = _listed(file) if name is None else _shown(name, file)
        data = text.encode(errors="backslashreplace")
        while data:
            data = data[os.write(_STDOUT, data) :]
    except ConfigError as exc:
        complain_of(exc)
        return 2
    except BrokenPipeError:
        return exit_status(Ending.OUTPUT_CLOSED, all_ok=False)
    except OSError as exc:
        complain(f"cannot write to standard output: {exc.strerror}")
        return 1
    return 0


def _read(config: str | None, env: Mapping[str, str]) -> ConfigFile:
    written = read_config(config, None, env)
    if written is None:
        return ConfigFile(Sources(""))
    return parse_tables(written.tables, written.sources, RUN_KEYS)


def _listed(file: ConfigFile) -> str:
    own = dict.fromkeys(file.presets, f"of {file.sources.main}")
    shipped = {name: shipped_text(name).partition("\n")[0].strip("# ") for name in shipped_names()}
    listed = {**shipped, **own}
    width = max(map(len, listed))
    return "".join(f"{printable(name):{width}}  {about}\n" for name, about in listed.items())


def _shown(name: str, file: ConfigFile) -> str:
    find_preset(name, file.presets)  # refuses one that is unknown
    own = file.presets.get(name)
    return shipped_text(name) if own is None else show_preset(name, own)

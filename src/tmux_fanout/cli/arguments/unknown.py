"""Say what to write instead of an option that a command does not have."""

from __future__ import annotations

import click

from tmux_fanout.cli.help import RunCommand

_INSTEAD = {
    "-j": "use --limit, the maximum attempts in flight for each API",
    "-k": "write tls = { verify = false } under [api.NAME] of the configuration file",
    "-n": "for the first 3 records, use head -n 3 FILE | tmux-fanout ...",
    "--headers": "use -H 'NAME: VALUE'",
    "--url": "use -a NAME=URL",
}
_SAME = {
    "--concurrency": "-j",
    "--insecure": "-k",
    "--jobs": "-j",
    "--parallel": "-j",
    "--records": "-n",
}


def describe_error(error: click.ClickException) -> str:
    """Return the message for an error in the arguments."""
    if isinstance(error, click.NoSuchOption) and (advice := _advice(error)):
        return f"No such option '{error.option_name}': {advice}"
    message = error.format_message()
    command = error.ctx.command.name if isinstance(error, click.UsageError) and error.ctx else ""
    if command == "test" and "extra argument" in message:
        return f"{message}: use -c FILE for the configuration, and -k TEXT to choose tests"
    return message


def _advice(error: click.NoSuchOption) -> str | None:
    if error.ctx is None or not isinstance(error.ctx.command, RunCommand):
        return None
    option = error.option_name
    if instead := _INSTEAD.get(_SAME.get(option, option)):
        return instead
    from tmux_fanout.core.config.config_file import API_KEYS  # not needed for --help

    key = option.removeprefix("--").replace("-", "_")
    if key not in API_KEYS:
        return None
    return f"{key} is a key of the configuration file: write {key} = ... under [api.NAME]"

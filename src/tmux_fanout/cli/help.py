"""Help with options in groups."""

from __future__ import annotations

from typing import Any

import click
from click_default_group import DefaultGroup


class Option(click.Option):
    """An option that is listed under a heading, and None where it is not given.

    Args:
        heading: of the list.
        fallback: its value where neither it nor the configuration file says anything.
        in_file: whether `[run]` of the configuration file may hold it.
    """

    def __init__(
        self, *args: Any, heading: str, fallback: Any = None, in_file: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(*args, **{"default": None, **kwargs})
        self.heading = heading
        self.fallback = fallback
        self.in_file = in_file


class Command(click.Command):
    """A command whose help lists its options under their headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            row = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if row is not None:
                sections.setdefault(getattr(parameter, "heading", "Other"), []).append(row)
        for heading, rows in sections.items():
            with formatter.section(heading):
                formatter.write_dl(rows, col_max=34)


class Group(DefaultGroup):  # type: ignore[misc]  # click-default-group has no types
    """The commands, and the options of the default one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the default command in front, where no command is named, before click looks.

        It would take `-aNAME=http://...` apart, and find the `-h` of `--help` in it.
        """
        own = {"--help", "-h", "--version"}
        if args and args[0] not in own and args[0] not in self.commands:
            args = [self.default_cmd_name, *args]
        parsed: list[str] = super().parse_args(ctx, args)
        return parsed

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        default = self.get_command(ctx, self.default_cmd_name)
        default.format_options(click.Context(default, parent=ctx), formatter)
        self.format_commands(ctx, formatter)

"""Commands and options whose help is in sections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from click_default_group import DefaultGroup

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem  # not needed for --help


class Option(click.Option):
    """An option that is listed under a heading, and that is None where it is not given.

    Args:
        args: as for `click.Option`.
        heading: of the section that lists it.
        fallback: its value if neither the command line nor the configuration file has one.
        in_file: whether `[run]` of the configuration file may hold it.
        is_ordered: whether its place among the others counts (`RunCommand`).
        kwargs: as for `click.Option`.
    """

    def __init__(
        self,
        *args: Any,
        heading: str,
        fallback: Any = None,
        in_file: bool = True,
        is_ordered: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **{"default": None, "multiple": is_ordered, **kwargs})
        self.heading = heading
        self.fallback = fallback
        self.in_file = in_file
        self.is_ordered = is_ordered


class Command(click.Command):
    """A command whose help lists options under their headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            entry = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if entry is not None:
                sections.setdefault(getattr(parameter, "heading", "Other"), []).append(entry)
        for heading, entries in sections.items():
            with formatter.section(heading):
                formatter.write_dl(entries, col_max=34)


class RunCommand(Command):
    """A command with the options of `run`.

    It passes the ordered ones on as one parameter, `given`: names and values, in the order of the
    command line.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if ctx.resilient_parsing:  # for completion, which needs no order, of values that may lack
            return super().parse_args(ctx, args)
        _, _, order = self.make_parser(ctx).parse_args([*args])
        rest = super().parse_args(ctx, args)
        names = [each.name for each in order if isinstance(each, Option) and each.is_ordered]
        values = {name: iter(ctx.params[name]) for name in names}
        ctx.params["given"] = [(name, next(values[name])) for name in names]
        for each in self.params:
            if isinstance(each, Option) and each.is_ordered:
                del ctx.params[each.name]
        return rest


class Group(DefaultGroup):  # type: ignore[misc]  # click-default-group has no types
    """A group whose help lists its commands and the options of the default command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert the default command where none is named, before click parses.

        Click would read `-aNAME=http://...` as several options and find the `-h` of `--help` in it.
        """
        if ctx.resilient_parsing and not args:  # what is completed may be a command
            return click.Group.parse_args(self, ctx, args)
        own = {"--help", "-h", "--version"}
        if args and args[0] not in own and args[0] not in self.commands:
            args = [self.default_cmd_name, *args]
        parsed: list[str] = super().parse_args(ctx, args)
        return parsed

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """Return commands, the options of the default command, and leave files to the shell."""
        from click.shell_completion import CompletionItem

        default = self.get_command(ctx, self.default_cmd_name)
        context = click.Context(default, parent=ctx, resilient_parsing=True)
        options: list[CompletionItem[str]] = default.shell_complete(context, incomplete)
        own: list[CompletionItem[str]] = super().shell_complete(ctx, incomplete)
        found = {item.value: item for item in [*options, *own]}
        return [CompletionItem(incomplete, type="file"), *found.values()]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        default = self.get_command(ctx, self.default_cmd_name)
        default.format_options(click.Context(default, parent=ctx), formatter)
        self.format_commands(ctx, formatter)

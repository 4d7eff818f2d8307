"""Reading secrets where they are: in files, from commands, and in a file of variables."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Container, Mapping, Sequence

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.merging.references import (
    COMMAND,
    FILE,
    Named,
    Reference,
    find_references,
    find_unset,
)
from tmux_fanout.core.redaction import redact_response
from tmux_fanout.core.text import printable

_TIME_LIMIT = 60.0  # seconds for a command, which may ask for a passphrase


class Secrets:
    """Reads each secret once.

    Args:
        env: the environment, for `${VAR}` and for commands.
        commands: references to commands that may be run: those of a configuration file.
        known: secrets that were read before, by their references.

    Attributes:
        known: the same, with those that were read since.
    """

    def __init__(
        self,
        env: Mapping[str, str],
        *,
        commands: Container[str] = (),
        known: Mapping[str, str] | None = None,
    ) -> None:
        self._env = env
        self._commands = commands
        self.known = dict(known or {})

    def __repr__(self) -> str:
        return f"<Secrets: {len(self.known)}>"

    @property
    def of_commands(self) -> dict[str, str]:
        """Those that commands have printed."""
        return {name: text for name, text in self.known.items() if name.startswith(COMMAND)}

    def environment(self, apis: Sequence[Named], *, in_urls: bool = False) -> Mapping[str, str]:
        """Return the environment with the secrets that APIs refer to.

        Args:
            apis: their settings.
            in_urls: whether only those in URLs are needed.

        Raises:
            ConfigError: one cannot be read, or is a command that may not be run.
        """
        for reference in find_references(apis, in_urls=in_urls):
            if reference.name not in self.known:
                self.known[reference.name] = self._read(reference)
        return {**self._env, **self.known} if self.known else self._env

    def with_unset(
        self, error: ConfigError, apis: Sequence[Named], *, in_urls: bool = False
    ) -> Sequence[ConfigError]:
        """Return a mistake, and those of all variables that are not set, which it may hide.

        Args:
            error: the mistake that was found first.
            apis: their settings.
            in_urls: whether only variables in URLs are needed.
        """
        unset = find_unset(apis, self._env, in_urls=in_urls)
        others = [each for each in unset if each.api != error.api or each.why not in error.why]
        return [error, *others]

    def _read(self, reference: Reference) -> str:
        if reference.name.startswith(FILE):
            return _read_file(reference)
        if reference.name not in self._commands:
            why = "commands run only for a configuration file: write it there, or use ${VAR}"
            raise reference.error(why)
        return _run_command(reference, self._env)


def _read_file(reference: Reference) -> str:
    path = reference.name.removeprefix(FILE)
    if not path or "\0" in path:
        raise reference.error("no file: use one such as ${file:/run/secrets/key}")
    tried = os.path.expanduser(path)
    try:
        with open(tried, "rb") as file:
            data = file.read()
    except OSError as exc:
        where = "" if os.path.isabs(path) else f" ({printable(_full_path(tried))})"
        raise reference.error(f"cannot be read: {exc.strerror}{where}") from None
    return _secret(reference, data)


def _full_path(path: str) -> str:
    try:
        return os.path.abspath(path)
    except OSError:  # the working directory is gone
        return path


def _run_command(reference: Reference, env: Mapping[str, str]) -> str:
    try:
        words = shlex.split(reference.name.removeprefix(COMMAND))
    except ValueError:
        raise reference.error("a quote is not closed: close it") from None
    if not words:
        raise reference.error("no command: use one such as ${cmd:pass show api}")
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,  # ours has the records
            capture_output=True,
            env=env,
            timeout=_TIME_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise reference.error(f"still running after {_TIME_LIMIT:g} s, and was killed") from None
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else str(exc)
        raise reference.error(f"cannot be run: {why}") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        last = f": {printable(redact_response(said[-1]), 200)}" if said else ""
        raise reference.error(f"failed with exit status {done.returncode}{last}")
    return _secret(reference, done.stdout)


def _secret(reference: Reference, data: bytes) -> str:
    """Return a secret without the newline at its end."""
    try:
        text = data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise reference.error("not UTF-8: use a secret that is text") from None
    if not text:
        raise reference.error("it is empty")
    return text


def with_env_file(path: str, env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with the variables of a file; those that are set already stay.

    Args:
        path: of a file in the syntax of dotenv: `NAME=value`, with quotes, comments and `export`.
        env: the environment.

    Raises:
        ConfigError: the file cannot be read.  No line is shown.
    """
    from dotenv.parser import parse_stream  # needed rarely

    shown = printable(path)
    variables = {}
    try:
        with open(path, encoding="utf-8-sig") as file:
            for binding in parse_stream(file):
                if binding.error or (binding.key and binding.value is None):
                    why = 'no variable: write one such as NAME="value"'
                    written = binding.original.string
                    blank = len(written) - len(written.lstrip("\n"))
                    line = binding.original.line + blank
                    raise ConfigError(f"--env-file: {shown}: line {line}: {why}")
                if binding.key is not None and binding.value is not None:
                    variables[binding.key] = binding.value
    except UnicodeDecodeError:
        raise ConfigError(f"--env-file: {shown}: not UTF-8: save it as UTF-8") from None
    except OSError as exc:
        raise ConfigError(f"--env-file: {shown}: cannot be read: {exc.strerror}") from None
    return {**variables, **env}

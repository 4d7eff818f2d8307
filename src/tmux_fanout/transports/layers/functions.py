"""Finding the functions under `auth.call`, and checking them, before anything is sent."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.http.auth import Signer
from tmux_fanout.core.http.signing.functions import EXAMPLE
from tmux_fanout.core.text import nearest, one_of, printable
from tmux_fanout.transports.layers.signing import Sign

GROUP = "tmux_fanout.auth"


def find_function(signer: Signer) -> Sign:
    """Return the function of a signer, with its arguments.

    Raises:
        ConfigError: there is none, or it cannot be called with them.
    """
    try:
        function = signer.function
        if isinstance(function, str):
            function = _by_colon(function) if ":" in function else _by_entry_point(function)
        _check(function, signer)
    except ConfigError as exc:
        raise exc.within("auth.call") from None
    return partial(function, **signer.arguments) if signer.arguments else function


def _by_colon(text: str) -> Callable[..., Any]:
    module_name, _, path = text.partition(":")
    words = path.split(".")
    if not all(word.isidentifier() for word in (*module_name.split("."), *words)):
        raise ConfigError(f"invalid name '{printable(text, 60)}': use one such as {EXAMPLE}")
    found = module = _import(module_name)
    for word in words:
        try:
            found = getattr(found, word)
        except AttributeError:
            where = getattr(module, "__file__", None) or "built in"
            functions = [name for name, each in vars(module).items() if inspect.isfunction(each)]
            advice = nearest(path, functions) if functions else "it has no functions"
            why = f"no '{path}' in module {module_name} ({printable(where)}): {advice}"
            raise ConfigError(why) from None
    return found  # type: ignore[no-any-return]  # `_check` looks at it


def _import(name: str) -> Any:
    """Return a module."""
    try:
        return import_module(name)
    except ModuleNotFoundError as exc:
        missing = exc.name or ""
        if missing != name and not name.startswith(f"{missing}."):
            why = f"module {name} needs {printable(missing, 60)}, which is not installed"
            raise ConfigError(f"{why} for {sys.executable}") from None
        places = "beside the configuration file or into the current directory"
        why = f"no module {missing}: put {name.replace('.', '/')}.py {places}"
        raise ConfigError(f"{why}, or install it for {sys.executable}") from None
    except MemoryError:
        raise
    except (Exception, SystemExit) as exc:
        raise ConfigError(f"importing module {name} raised {_describe(exc)}") from None


def _describe(exc: BaseException) -> str:
    """Return an exception for a message, without its text, which may hold a secret."""
    if isinstance(exc, SyntaxError):
        return printable(f"{type(exc).__name__}: {exc.msg} ({exc.filename}:{exc.lineno})")
    last = exc.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    where = f" at {last.tb_frame.f_code.co_filename}:{last.tb_lineno}" if last else ""
    return printable(f"{type(exc).__name__}{where}")


def _by_entry_point(name: str) -> Callable[..., Any]:
    found = entry_points(group=GROUP, name=name)
    modules = {entry.value for entry in found}
    if not modules:
        module, _, function = name.rpartition(".")
        if module and all(word.isidentifier() for word in name.split(".")):
            why = f"no entry point '{printable(name, 60)}': write {module}:{function}, with a colon"
            raise ConfigError(f"{why}, for a function of a module")
        known = sorted({entry.name for entry in entry_points(group=GROUP)})
        there = f"the installed ones are {', '.join(known)}" if known else "none is installed"
        why = f"no entry point '{printable(name, 60)}' in group {GROUP}, {there}: use one such as"
        raise ConfigError(f"{why} {EXAMPLE}")
    if len(modules) > 1:
        why = f"several packages have an entry point {name}: use {one_of(sorted(modules))}"
        raise ConfigError(why)
    return _by_colon(modules.pop())


def _check(function: object, signer: Signer) -> None:
    """Check that a function can be called for a request.

    Raises:
        ConfigError: it cannot.
    """
    name = printable(signer.name, 100)
    if not callable(function) or inspect.isclass(function):
        raise ConfigError(f"{name} is of type {type(function).__name__}: name a function")
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - its own, not whether there is one
    ):
        raise ConfigError(f"{name} is a coroutine function: use a plain one, without async")
    try:
        signature = inspect.signature(function)
    except ValueError:  # it is written in C
        return
    try:
        signature.bind("POST", "https://h/", {}, b"", **signer.arguments)
    except TypeError as exc:
        given = "".join(f", {each}=..." for each in signer.arguments)
        why = f"{name} cannot be called as (method, url, headers, body{given}): {exc}"
        raise ConfigError(printable(why)) from None

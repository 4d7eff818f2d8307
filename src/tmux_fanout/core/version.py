"""The version and the kind of build, in `core`, so that every layer can import them."""

from importlib.util import find_spec

__version__ = "0.1.0"


def is_compiled() -> bool:
    """Whether mypyc has compiled the modules that each call passes through."""
    spec = find_spec("tmux_fanout.core.histogram")
    return spec is not None and not (spec.origin or "").endswith(".py")

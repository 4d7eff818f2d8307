"""The fingerprint of a shape: small enough for an extended attribute, yet able to name a key.

A shape becomes a tree of digests, with one leaf for each key.  All attributes of a file may have to
share 4 KiB (ext4), so a tree that is too large is folded: into one digest for each API, and then
into one for all of them.  The digest of a branch is that of the digests below it, so a folded tree
can still be compared with one that is not.

Digests are short: they are to catch mistakes, not attacks, and give no value away.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec

from tmux_fanout.core.fingerprint.shape import Shape
from tmux_fanout.core.text import joined, printable

VERSION: Literal[1] = 1  # of the meaning of the digests; other versions are not compared
MAX_SIZE = 2000  # bytes
_DIGITS = 8
_LEVELS = 3  # such as apis, their names, their keys

Tree = str | Mapping[str, "Tree"]
Path = tuple[str, ...]

_Digest = Annotated[str, msgspec.Meta(pattern=rf"^[0-9a-f]{{{_DIGITS}}}\Z")]
_Branch = _Digest | dict[str, _Digest | dict[str, _Digest]]


class _Fingerprint(msgspec.Struct):
    version: Literal[1]
    settings: _Digest | Annotated[dict[Literal["run", "apis"], _Branch], msgspec.Meta(min_length=2)]


def take_fingerprint(shape: Shape) -> bytes:
    """Return the fingerprint of a shape, as JSON."""
    tree = _tree(shape)
    for levels in range(_LEVELS, -1, -1):
        encoded = msgspec.json.encode({"version": VERSION, "settings": _fold(tree, levels)})
        if len(encoded) <= MAX_SIZE:
            break
    return encoded


def find_differences(fingerprint: bytes, shape: Shape) -> str:
    """Return in words what differs between a fingerprint and a shape: `url and when of API 'a'`.

    The text is empty if nothing differs, and if the fingerprint is of another version or damaged.
    """
    try:
        written = msgspec.json.decode(fingerprint, type=_Fingerprint)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return _describe(_differing(written.settings, _tree(shape)))


def _tree(value: Any, levels: int = _LEVELS) -> Tree:
    if levels and isinstance(value, Mapping):
        return {key: _tree(item, levels - 1) for key, item in value.items()}
    return _digest(value)


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)  # takes lone surrogates, too
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def _fold(tree: Tree, levels: int = 0) -> Tree:
    """Return the tree with a digest in place of each branch below this number of levels."""
    if isinstance(tree, str):
        return tree
    folded = {key: _fold(branch, max(levels - 1, 0)) for key, branch in tree.items()}
    return folded if levels else _digest(folded)


def _differing(written: Any, tree: Tree, path: Path = ()) -> Iterator[Path]:
    """Yield the paths of the lowest branches that differ."""
    if isinstance(tree, str) or not isinstance(written, dict):
        if written != _fold(tree):
            yield path
        return
    for key in {**tree, **written}:
        if key in tree and key in written:
            yield from _differing(written[key], tree[key], (*path, key))
        else:
            yield (*path, key)


def _describe(paths: Iterable[Path]) -> str:
    words, of_apis = [], dict[str, list[str]]()
    for path in paths:
        match path:
            case "apis", api, *keys:
                of_apis.setdefault(api, []).extend(keys)
            case "run", key, *_:
                words.append(printable(key))
            case _:
                words.append("settings")
    shown = [(printable(repr(api)), printable(joined(keys))) for api, keys in of_apis.items()]
    return ", ".join(
        [*(f"{keys} of API {api}" if keys else f"API {api}" for api, keys in shown), *words]
    )

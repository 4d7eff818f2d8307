"""Forms as `multipart/form-data` (RFC 7578), whose files are read while they are sent.

Names are written as browsers write them (WHATWG HTML, "multipart/form-data encoding algorithm"): in
UTF-8, with a quote, CR and LF as %22, %0D and %0A.  The text of a field is sent as it is.

The boundary is drawn when a form is first sent, so that nobody who writes a file or a field can
have put it there.  A form keeps it, and what its files were like then: a later attempt sends the
same bytes, or none.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

CONTENT_TYPE = "multipart/form-data"

_UNKNOWN = "application/octet-stream"
_ESCAPES = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})
# What some versions of Python, or some systems, do not have.
_MORE_TYPES = {
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".flac": "audio/flac",
    ".jsonl": "application/jsonl",
    ".m4a": "audio/mp4",
    ".md": "text/markdown",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".wav": "audio/wav",
    ".webp": "image/webp",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
_BY_ENCODING = {
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
}


@cache
def _types() -> Any:
    """Return the media types that Python itself knows, so that every machine has the same."""
    import mimetypes  # only needed with files

    types = mimetypes.MimeTypes()
    for ending, name in _MORE_TYPES.items():
        types.add_type(name, ending)
    return types


def guess_type(filename: str) -> str:
    """Return the media type that the ending of a file's name stands for."""
    found, encoding = _types().guess_type(f"x/{filename}")
    if encoding is not None:
        return _BY_ENCODING.get(encoding, _UNKNOWN)
    return str(found or _UNKNOWN)


class NamedFile:
    """A file that a record names.

    It is no value of JSON, so that only the function `file()` makes it, and no record can.

    Args:
        path: of the file, below the folder that its form has.
        type: its media type; None: by the ending of its name.
        filename: the name to send; None: that of the file.
    """

    __slots__ = ("filename", "path", "type")

    def __init__(self, path: str, type: str | None = None, filename: str | None = None) -> None:
        self.path = path
        self.type = type
        self.filename = filename

    def __repr__(self) -> str:
        return f"<NamedFile {self.path!r}>"


class UnsafePath(ValueError):
    """A path is none of a file below a folder; the text says why."""


def name_root(root: str) -> str:
    """Return a folder of files as messages name it; that of a `-a` API is not under a key."""
    return "the current folder" if root == "." else "files_root"


def steps_of(path: str, root: str) -> tuple[str, ...]:
    """Return the names that lead from a folder to a file below it.

    Args:
        path: of the file, from the folder.
        root: the folder, for messages.

    Raises:
        UnsafePath: the path does not stay below the folder, or is that of no file.
    """
    if not path:
        raise UnsafePath("the path is empty")
    if "\0" in path:
        raise UnsafePath("no path has a NUL character")
    if path.startswith("/"):
        why = f"the path is absolute: files are named relative to {name_root(root)}"
        raise UnsafePath(why)
    steps = tuple(step for step in path.split("/") if step not in ("", "."))
    if ".." in steps:
        raise UnsafePath(f"the path has a '..', which may lead out of {name_root(root)}")
    if not steps or path.endswith(("/", "/.")):
        raise UnsafePath("it is a folder")
    return steps


class Field(NamedTuple):
    """A part of a form that is not a file.

    Attributes:
        name: of the field.
        content: its value.
        type: its media type; "" for text.
    """

    name: str
    content: bytes
    type: str = ""

    def head(self) -> str:
        return f'form-data; name="{_escaped(self.name)}"'


class File(NamedTuple):
    """A part of a form that is a file.

    Attributes:
        name: of the field.
        path: of the file, as the record has it, for messages.
        steps: the names that lead to it from the folder.
        type: its media type.
        filename: the name that is sent with it.
    """

    name: str
    path: str
    steps: tuple[str, ...]
    type: str
    filename: str

    def head(self) -> str:
        filename = _escaped(self.filename)
        return f'form-data; name="{_escaped(self.name)}"; filename="{filename}"'


class Identity(NamedTuple):
    """What tells whether a file is as it was."""

    device: int
    inode: int
    size: int
    modified: int


class Upload:
    """A form that is sent, once or several times.

    Args:
        parts: in their order.
        root: path of the folder that the files are in.

    Attributes:
        parts, root: as given.
        files: those of the parts that are files.
        boundary: between the parts; "" until the form is first sent.
        size: bytes of the whole; 0 until then.
        seen: what each of the files was like then, by index; set by `setdefault`.
    """

    __slots__ = ("boundary", "files", "parts", "root", "seen", "size")

    def __init__(self, parts: Sequence[Field | File], root: str) -> None:
        self.parts = parts
        self.root = root
        self.files = [part for part in parts if isinstance(part, File)]
        self.boundary = ""
        self.size = 0
        self.seen: dict[int, Identity] = {}

    def __repr__(self) -> str:
        return f"<Upload: {len(self.parts)} parts, {len(self.files)} of them files>"

    @property
    def fields(self) -> dict[str, str]:
        """The text of the parts that are no files, by name; several of a name in lines."""
        texts: dict[str, str] = {}
        for part in self.parts:
            if isinstance(part, Field):
                text = part.content.decode(errors="replace")
                texts[part.name] = f"{texts[part.name]}\n{text}" if part.name in texts else text
        return texts

    @property
    def text_size(self) -> int:
        """Bytes of the parts that are no files."""
        return sum(len(part.content) for part in self.parts if isinstance(part, Field))

    @property
    def content_type(self) -> str:
        return f"{CONTENT_TYPE}; boundary={self.boundary}"

    def pieces(self) -> list[bytes | File]:
        """Return what is sent, in order: bytes, and the files between them."""
        pieces: list[bytes | File] = []
        text = b""
        for part in self.parts:
            lines = [f"--{self.boundary}", f"Content-Disposition: {part.head()}"]
            if part.type:
                lines.append(f"Content-Type: {part.type}")
            text += "\r\n".join([*lines, "", ""]).encode()
            if isinstance(part, File):
                pieces += [text, part]
                text = b"\r\n"
            else:
                text += part.content + b"\r\n"
        return [*pieces, text + f"--{self.boundary}--\r\n".encode()]


def _escaped(name: str) -> str:
    return name.translate(_ESCAPES)

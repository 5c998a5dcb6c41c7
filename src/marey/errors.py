"""The tree of exceptions. Every one says what was wrong, where, what was got, and what to do.

MareyError
├── UsageError                a wrong call: flag, name, configuration        (exit 2)
│   ├── UnknownNameError      a name that is not in a table; names the nearest
│   ├── ConfigError           a YAML file or a combination of settings
│   └── MissingExtraError     an optional dependency that is not installed
├── DataError                 something in the user's data                    (exit 1)
│   ├── ManifestError         a row, a column, a label
│   ├── SplitError            a split that leaks or cannot be made
│   ├── SegmentError          times that lie outside the video
│   └── VideoError            one file that cannot be read as asked
│       ├── VideoNotFoundError       nothing at that path
│       ├── NotAVideoFileError       directory, FIFO, device, socket
│       ├── ForbiddenFormatError     playlists and other formats that read further files
│       ├── EmptyVideoError          no bytes, or no frames at all
│       ├── NoVideoTrackError        audio only, or not a media file
│       ├── EncryptedVideoError      common encryption (DRM)
│       ├── UndecodableVideoError    a video track of which nothing decodes
│       ├── TruncatedVideoError      fewer frames decode than the container lists
│       └── VideoTooLargeError       more pixels than the limit
├── NoRoomError               a disk that is full, or too small for what is to come
├── DeliveryError             an event that its receiver did not take; it is sent again
├── CheckpointError           weights that do not fit, are not there, or are not safe
└── TrainingError             a run that cannot go on
    ├── NonFiniteLossError    NaN or infinity, with the step and the samples
    └── WorkerError           a process that loads data died or hung, with its sample
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MareyError(Exception):
    """Root of all errors that are meant for users.

    Args:
        what: one sentence: what was wrong and what was got.
        *details: further lines: the allowed values, what to do next.
        where: file, line or sample it happened at; put before the sentence.
    """

    exit_code = 1

    def __init__(self, what: str, *details: str, where: str | None = None) -> None:
        super().__init__(what, *details)
        self.what = what
        self.details = tuple(details)
        self.where = where

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return "\n  ".join([head, *self.details])

    def __reduce__(self) -> tuple[object, ...]:  # keyword attributes survive a worker's pickle
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(cls: type[MareyError], args: tuple[str, ...], state: dict[str, object]) -> MareyError:
    error = cls.__new__(cls)
    Exception.__init__(error, *args)
    error.__dict__.update(state)
    return error


class UsageError(MareyError):
    """A wrong call: the user can mend it without touching the data."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A name that is not in a table.

    Args:
        kind: what was looked for ("model", "sampler", "flow method").
        name: what was got.
        known: every name that would have been right.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], *details: str) -> None:
        known = sorted(known)
        if len(known) > 40:  # a wall of names helps nobody: those that are near, and how many there are
            near = difflib.get_close_matches(name, known, n=8, cutoff=0.3) or known[:8]
            listed = f"{', '.join(near)}, … ({len(known)} in all)"
        else:
            listed = ", ".join(known)
        super().__init__(
            f"{name!r} is not a known {kind}.{did_you_mean(name, known)}",
            f"known {kind}s: {listed}",
            *details,
        )
        self.name = name


class ConfigError(UsageError):
    """A configuration that cannot be: an unknown key, a value out of range, settings that contradict."""


class MissingExtraError(UsageError):
    """An optional dependency that the asked-for feature needs."""

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(
            f"this needs the package {module!r}, which is not installed.",
            f"install it with: pip install 'marey[{extra}]'",
        )


class DataError(MareyError):
    """Something in the user's data."""


class ManifestError(DataError):
    """A manifest that cannot be read as it stands; `where` names file and line."""


class SplitError(DataError):
    """A split that would leak a group, or that the data cannot give."""


class SegmentError(DataError):
    """A segment whose times lie outside its video, or are reversed or empty."""


class VideoError(DataError):
    """One file that cannot be read as asked. `path` is the file."""

    def __init__(self, path: object, what: str, *details: str) -> None:
        super().__init__(what, *details, where=str(path))
        self.path = str(path)


class VideoNotFoundError(VideoError):
    """Nothing at that path."""


class NotAVideoFileError(VideoError):
    """The path is a directory, FIFO, device or socket; refused before opening."""


class ForbiddenFormatError(VideoError):
    """A playlist or another format that makes the decoder read further files or open sockets."""


class EmptyVideoError(VideoError):
    """No bytes, or no frames at all."""


class NoVideoTrackError(VideoError):
    """Audio only, or not a media file."""


class EncryptedVideoError(VideoError):
    """The track is encrypted (common encryption, DRM)."""


class UndecodableVideoError(VideoError):
    """There is a video track, but nothing of it decodes."""


class TruncatedVideoError(VideoError):
    """Fewer frames decode than the container lists.

    Attributes:
        decoded: frames that decode.
        expected: frames that the container lists.
    """

    def __init__(self, path: object, decoded: int, expected: int, *details: str) -> None:
        super().__init__(
            path, f"decoded {decoded} of {expected} frames; the file is truncated or damaged.", *details
        )
        self.decoded = decoded
        self.expected = expected


class VideoTooLargeError(VideoError):
    """More pixels a frame than the limit; refused before decoding."""


class NoRoomError(MareyError):
    """A disk that is full, or too small for what is to come."""


class DeliveryError(MareyError):
    """An event that its receiver did not take."""


class CheckpointError(MareyError):
    """Weights that are not there, do not fit the model, or are not safe to read."""


class TrainingError(MareyError):
    """A run that cannot go on."""


class WorkerError(TrainingError):
    """A process that loads data died, or did not come back from a sample."""


class NonFiniteLossError(TrainingError):
    """The loss is NaN or infinite."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """ " Did you mean 'fight'?" with a leading space, or "" where nothing is near."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else ""


def require(module: str, extra: str) -> object:
    """Import an optional module, or raise the `MissingExtraError` that names the extra to install."""
    import importlib

    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and module.split(".")[0] != error.name.split(".")[0]:
            raise
        raise MissingExtraError(module, extra) from error

"""The command line: a table of verbs, each in a file of its own that is imported when it is called.

Exit codes: 0 done, 1 data or run time, 2 usage. An error is one block of text; `--debug` shows the traceback.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Sequence

from marey import __version__
from marey.errors import MareyError, UnknownNameError

VERBS: dict[str, str] = {
    "demo": "make videos with known motion, train two models on them, and see why time matters",
    "data": "summarise, check, split, make, import or export a data set  (marey data --help)",
    "train": "train a classifier, judge it, and write a report",
    "distill": "train a small student on what a teacher says, of videos without labels too",
    "fuse": "join the RGB and the flow branch of a two-stream model that were trained by themselves",
    "compare": "train several models on the same splits and put them side by side",
    "eval": "judge a trained model on labelled videos",
    "audit": "test whether a model uses time: in order, shuffled, reversed, frozen",
    "predict": "classify videos with a trained model",
    "watch": "watch cameras with a trained model, and tell alarms by rules",
    "localize": "say when what happens in videos: segments with start, end, label and score",
    "export": "make one file of a trained model that runs anywhere, and prove that it gives the same answers",
    "bench": "measure how fast an exported model is here, in every runtime, beside torch",
    "extract": "compute a network's features over time, for a head or a localizer",
    "flow": "compute the optical flow of videos ahead of training, or look at it",
    "models": "list the models, with parameters, cost and what each is for",
    "doctor": "say what this machine has, and what is missing",
}


def usage() -> str:
    """What `marey --help` prints."""
    width = max(map(len, VERBS)) + 2
    lines = [
        f"marey {__version__}: train, judge and ship video classifiers that really learn motion.",
        "",
        "usage: marey VERB [options]      marey VERB --help says what a verb takes",
        "",
        *(f"  {verb:<{width}}{words}" for verb, words in VERBS.items()),
        "",
        "everywhere: --out FOLDER (default runs), --name NAME, --seed N, --debug (tracebacks)",
        "first steps: marey demo",
    ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; gives the exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in args
    args = [arg for arg in args if arg != "--debug"]
    warnings.showwarning = _one_line  # type: ignore[assignment]
    try:
        if not args or args[0] in ("-h", "--help", "help"):
            print(usage())
            return 0
        if args[0] in ("--version", "-V"):
            print(__version__)
            return 0
        if args[0] not in VERBS:
            raise UnknownNameError("verb", args[0], VERBS, "see them all: marey --help")
        return int(importlib.import_module(f"marey.cli.{args[0]}").run(args[1:]) or 0)
    except MareyError as error:
        if debug:
            raise
        sys.stdout.flush()
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # `marey models | head` is no error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a full disk, a folder that may not be written to
        if debug or error.strerror is None:
            raise
        print(f"error: {error.filename or 'a file'}: {error.strerror}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _one_line(message: Warning | str, *_: object) -> None:
    """A warning as a user reads it: what, without the line of code that said it."""
    print(f"warning: {message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())

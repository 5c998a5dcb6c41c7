"""`marey watch`: from addresses, a model and rules to a running watch."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from marey.errors import ConfigError
from marey.jobs.watch_config import WatchConfig
from marey.live.addresses import from_environment
from marey.live.feed import Feed, Mailbox
from marey.live.outbox import Courier, Outbox
from marey.live.recorder import Recorder, Tape
from marey.live.rules import read_rules
from marey.live.scoring import WindowScorer
from marey.live.sinks.table import make_sinks
from marey.live.source import Kind, kind_of
from marey.live.watch import Say, Watch
from marey.predict.load import load

_NAMED = re.compile(r"([\w.-]+)=(.+)", re.DOTALL)


def name_feeds(words: tuple[str, ...], *, playlists: bool = False) -> dict[str, tuple[str, Kind]]:
    """Addresses and their kinds by name: the name that is given, or the file's or the host's.

    Raises:
        UsageError: an address of no live source. ConfigError: two feeds of one name, a variable that is not set.
    """
    feeds: dict[str, tuple[str, Kind]] = {}
    for word in words:
        named = _NAMED.fullmatch(word)
        name, address = (named[1], named[2]) if named else ("", word)
        address = from_environment(address)
        kind = kind_of(address, playlists=playlists)
        if not name:
            name = {
                "file": Path(address).stem,
                "pipe": "pipe",
                "camera": f"camera{address}",
            }.get(kind) or urlsplit(address).hostname or kind  # fmt: skip
        if name in feeds:
            raise ConfigError(f"two feeds are called {name!r}.", "name them: NAME=ADDRESS")
        feeds[name] = address, kind
    return feeds


def make_watch(config: WatchConfig, *, say: Say = lambda what, **fields: None) -> Watch:
    """A watch that is ready to run.

    Args:
        config: what was asked for.
        say: told of what happens: an event's name and its fields.

    Raises:
        UsageError, ConfigError: feeds, rules or sinks that cannot be. CheckpointError: no such model.
        DataError: the folder of its state is damaged.
    """
    addresses = name_feeds(config.feeds, playlists=config.playlists)
    rules = read_rules(config.rules)
    predictor = load(config.model, runtime=config.runtime)
    rules.check(predictor.class_names, list(addresses))
    scorer = WindowScorer(predictor, window=config.window, every=config.every)
    sinks = make_sinks(rules.sinks, where=rules.where)
    folder = Path(config.state)
    folder.mkdir(parents=True, exist_ok=True)
    outbox = Outbox(folder / "outbox.sqlite")
    recorder = None
    if rules.clips.folder is not None:
        recorder = Recorder(rules.clips, Path(rules.clips.folder), lambda what: say("clips", why=what))
    mailbox = Mailbox()
    feeds: dict[str, tuple[Feed, Tape | None]] = {}
    for name, (address, kind) in addresses.items():
        tape = recorder.tape() if recorder else None
        feed = Feed(name, address, kind, predictor.spec, mailbox, follow=config.follow, tape=tape)
        feeds[name] = feed, tape
    couriers = [
        Courier(name, sink, outbox, lambda name, what: say("sink", sink=name, why=what))
        for name, sink in sinks.items()
    ]
    return Watch(
        feeds, mailbox, scorer, predictor.spec, rules, outbox, couriers, recorder,
        gate=config.gate, hold=scorer.window, say=say,
    )  # fmt: skip


def watch(
    config: WatchConfig,
    *,
    stopped: Callable[[], bool] = lambda: False,
    say: Say = lambda what, **fields: None,
    show: Callable[[Watch], None] = lambda watch: None,
) -> Watch:
    """Watch until `stopped`, or until every feed has ended.

    Args:
        config: what was asked for.
        stopped: asked several times a second.
        say: told of what happens: an event's name and its fields.
        show: called several times a second.

    Raises:
        As `make_watch`; OSError: the port is taken.
    """
    from marey.live.status import StatusServer

    made = make_watch(config, say=say)
    server = StatusServer(made, config.host, config.port) if config.port is not None else None
    try:
        made.run(stopped, lambda: show(made))
    finally:
        if server:
            server.close()
    return made

"""Many feeds, one model, triggers, and what is told: the loop that joins them.

One thread takes the latest frame of every feed, lets the gate look, judges the lanes that are due in one batch, and
steps the triggers. What they say goes to the disk together with what they remember, and from there to the sinks.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from marey.live.feed import Feed, LiveFrame, Mailbox
from marey.live.gate import Gate
from marey.live.lanes import Lane, Watched
from marey.live.outbox import Courier, Outbox
from marey.live.recorder import Recorder, Tape
from marey.live.rules import Rules
from marey.live.scoring import Scorer
from marey.live.sinks.sink import Event
from marey.live.trigger import Change
from marey.spec import InputSpec

Say = Callable[..., None]
_SAVED, _LOOKED = (
    2.0,
    0.5,
)  # seconds from one saving of states, and from one look at silent feeds, to the next


@dataclass
class WatchCounts:
    """What happened since the beginning."""

    scored: int = 0
    spared: int = 0
    odd: int = 0
    alarms: int = 0
    latency: float = 0.0
    latency_sum: float = 0.0
    rounds: int = 0


class Watch:
    """The loop, and all that it joins.

    Args:
        feeds: by name, with the tape of each, where clips are kept.
        mailbox: where the feeds leave their frames.
        scorer: the model. spec: of its input.
        rules: what is an alarm.
        outbox: what is to be told. couriers: who tells it.
        recorder: writes clips, or None.
        gate: share of the pixels that must change before the model is asked; 0 asks it always.
        hold: seconds for which the model is asked after the last motion.
        say: told of what happens: an event's name and its fields.
    """

    def __init__(
        self,
        feeds: Mapping[str, tuple[Feed, Tape | None]],
        mailbox: Mailbox,
        scorer: Scorer,
        spec: InputSpec,
        rules: Rules,
        outbox: Outbox,
        couriers: list[Courier],
        recorder: Recorder | None,
        *,
        gate: float,
        hold: float,
        say: Say = lambda what, **fields: None,
    ) -> None:
        self.feeds = {name: feed for name, (feed, _) in feeds.items()}
        self.outbox, self.couriers, self.recorder, self.counts = outbox, couriers, recorder, WatchCounts()
        self.lanes: list[Lane] = []
        self.last_round = time.monotonic()
        self._tapes = {name: tape for name, (_, tape) in feeds.items()}
        self._mailbox, self._scorer, self._say = mailbox, scorer, say
        self._latest: dict[str, LiveFrame] = {}
        self._states: dict[str, str] = {}
        self._saved = self._looked = -math.inf
        self._place = outbox.place
        known = outbox.states()
        for name in self.feeds:
            for zone in dict.fromkeys(rule.zone for rule in rules.rules if rule.on_feed(name)):
                watched = [
                    Watched(rule, name) for rule in rules.rules if rule.on_feed(name) and rule.zone == zone
                ]
                for one in watched:
                    if one.name in known:
                        one.recall(known[one.name])
                place = None if zone is None else rules.zones[zone]
                self.lanes.append(Lane(name, place, spec, Gate(gate, hold), watched))

    def run(self, stopped: Callable[[], bool], show: Callable[[], None] = lambda: None) -> None:
        """Watch until `stopped`, or until every feed has ended; then tell what is still to be told.

        Args:
            stopped: asked after each round. show: called after each round.
        """
        for courier in self.couriers:
            courier.start()
        if self.recorder:
            self.recorder.start()
        for feed in self.feeds.values():
            feed.start()
        try:
            while not stopped():
                fresh = self._mailbox.take(0.2)
                self.round(fresh)
                show()
                if not fresh and all(feed.state == "ended" for feed in self.feeds.values()):
                    break
        finally:
            self._close()

    def round(self, fresh: Mapping[str, LiveFrame]) -> None:
        """One look at what came since the last one."""
        events: list[Event] = []
        self._latest.update(fresh)
        due = [lane for lane in self.lanes if lane.feed in fresh and self._see(lane, fresh[lane.feed])]
        now = time.monotonic()
        moving = [lane for lane in due if lane.gate.open(fresh[lane.feed].time)]
        rows = list(self._scorer.scores([lane.name for lane in moving])) if moving else []
        found = {lane.name: row for lane, row in zip(moving, rows, strict=True)}
        self.counts.scored += len(moving)
        self.counts.spared += len(due) - len(moving)
        local = datetime.now()
        for lane in due:
            if lane.name not in found:
                self._scorer.skip(lane.name)
            for watched in lane.watched:
                index = self._scorer.class_names.index(watched.rule.label)
                # where nothing moves, nothing happens that a class of motion could name
                score = float(found[lane.name][index]) if lane.name in found else 0.0
                if not 0 <= score <= 1:
                    self.counts.odd += 1
                    continue
                events += self._events(watched, watched.score_now(fresh[lane.feed].arrival, score, local))
        if now - self._looked >= _LOOKED:
            self._looked = now
            for lane in self.lanes:
                for watched in lane.watched:
                    if watched.state.time is not None and now > watched.state.time:
                        events += self._events(watched, watched.look(now))
            for tape in self._tapes.values():
                if tape:
                    tape.tick(now)
            self._tell_states()
        if events or now - self._saved >= _SAVED:
            self._saved = now
            states = {w.name: w.remembered() for lane in self.lanes for w in lane.watched}
            self.outbox.put(events, [courier.name for courier in self.couriers], states)
        for event in events:
            self._record(event)
        if due:
            self.counts.latency = time.monotonic() - min(fresh[lane.feed].arrival for lane in due)
            self.counts.latency_sum += self.counts.latency
            self.counts.rounds += 1
        self.last_round = time.monotonic()

    def _see(self, lane: Lane, frame: LiveFrame) -> bool:
        if lane.scene != frame.scene:
            self._scorer.forget(lane.name)
            lane.scene = frame.scene
        picture, inside = lane.part(frame.picture)
        lane.gate.see(frame.picture, frame.time, inside)
        self._scorer.see(lane.name, picture, frame.time)
        return self._scorer.due(lane.name)

    def _events(self, watched: Watched, changes: tuple[Change, ...]) -> list[Event]:
        wall, now = time.time(), time.monotonic()
        events = []
        for change in changes:
            alarm = f"{self._place}-{watched.feed}-{watched.rule.name}-{change.number}"
            after = f"-{round(1000 * (change.time - change.start))}" if change.kind == "update" else ""
            events.append(
                {
                    "id": f"{alarm}-{change.kind}{after}",
                    "alarm": alarm,
                    "type": change.kind,
                    "feed": watched.feed,
                    "rule": watched.rule.name,
                    "label": watched.rule.label,
                    "zone": watched.rule.zone,
                    "time": _iso(wall - now + change.time),
                    "start": _iso(wall - now + change.start),
                    "seconds": round(change.time - change.start, 3),
                    "score": round(change.score, 4),
                    "peak": round(change.peak, 4),
                    "reason": change.reason,
                    "clip": self._clip_name(alarm, wall - now + change.start),
                }
            )
            self.counts.alarms += change.kind == "new"
        return events

    def _clip_name(self, alarm: str, start: float) -> str | None:
        if self.recorder is None:
            return None
        day = datetime.fromtimestamp(start).strftime("%Y-%m-%d")
        return f"{day}/{''.join(c if c.isalnum() or c in '-_.' else '_' for c in alarm)}"

    def _record(self, event: Event) -> None:
        self._say("alarm", **{key: event[key] for key in ("type", "feed", "rule", "score", "reason", "id")})
        tape, recorder = self._tapes.get(event["feed"]), self.recorder
        if recorder is None or tape is None or event["type"] == "update":
            return
        now = time.monotonic()
        if event["type"] == "end":
            tape.end(event["alarm"], now + recorder.config.after)
            return
        path = recorder.folder / event["clip"]
        if not tape.start(event["alarm"], path, now - event["seconds"]):
            self._say(
                "no clip", feed=event["feed"], alarm=event["alarm"], why="no packets are kept of this feed"
            )
        frame = self._latest.get(event["feed"])
        if frame is not None and frame.raw is not None:
            recorder.picture(path.with_name(path.name + ".jpg"), frame.raw)

    def _tell_states(self) -> None:
        for name, feed in self.feeds.items():
            state = feed.state
            if self._states.get(name) != state:
                self._states[name] = state
                self._say("feed", feed=name, state=state, why=feed.error, address=feed.shown_address)

    def _close(self) -> None:
        """Feeds end, clips are written, and what is known goes to the disk; sinks get a last chance."""
        for feed in self.feeds.values():
            feed.stop()
        for feed in self.feeds.values():
            feed.join(2)
        self.round({})
        for tape in self._tapes.values():
            if tape:
                tape.close()
        if self.recorder:
            self.recorder.stop(10)
        states = {w.name: w.remembered() for lane in self.lanes for w in lane.watched}
        self.outbox.put([], [], states)
        for courier in self.couriers:
            courier.stop(5)
        left = {courier.name: self.outbox.count(courier.name) for courier in self.couriers}
        self._say("end", waiting=left)
        self.outbox.close()


def _iso(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

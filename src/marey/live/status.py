"""What a watch says of itself: `/healthz` for whoever starts it again, `/metrics` for Prometheus."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator

from marey.live.feed import STATES
from marey.live.watch import Watch

_STUCK = 15.0  # seconds without a round


def health(watch: Watch) -> tuple[int, dict[str, object]]:
    """Status and body: 503 where the loop stands still or no feed gives a picture; a feed that does not is named."""
    states = {name: feed.state for name, feed in watch.feeds.items()}
    stuck = time.monotonic() - watch.last_round > _STUCK
    live = [name for name, state in states.items() if state == "live"]
    word = "stuck" if stuck else "ok" if len(live) == len(states) else "degraded" if live else "blind"
    return (503 if word in ("stuck", "blind") else 200), {"status": word, "feeds": states}


def metrics(watch: Watch) -> str:
    """In the text format of Prometheus."""
    return "\n".join(_lines(watch)) + "\n"


def _lines(watch: Watch) -> Iterator[str]:
    now = time.monotonic()

    def head(name: str, kind: str, words: str) -> Iterator[str]:
        yield f"# HELP marey_{name} {words}"
        yield f"# TYPE marey_{name} {kind}"

    for field, words in (
        ("frames", "Frames that were decoded."),
        ("dropped", "Frames that a later one replaced before they were looked at."),
        ("damaged", "Packets or frames that could not be decoded."),
        ("connections", "Connections that were made."),
        ("failures", "Connections that failed or broke off."),
    ):
        yield from head(f"feed_{field}_total", "counter", words)
        for name, feed in watch.feeds.items():
            yield f"marey_feed_{field}_total{_labels(feed=name)} {getattr(feed.counts, field)}"
    yield from head("feed_clock_jumps_total", "counter", "Time stamps that were not believed.")
    for name, feed in watch.feeds.items():
        yield f"marey_feed_clock_jumps_total{_labels(feed=name)} {feed.clock.jumps}"
    yield from head("feed_state", "gauge", "1 for the state that the feed is in.")
    for name, feed in watch.feeds.items():
        current = feed.state
        for state in STATES:
            yield f"marey_feed_state{_labels(feed=name, state=state)} {int(state == current)}"
    yield from head("feed_age_seconds", "gauge", "Seconds since the latest frame.")
    for name, feed in watch.feeds.items():
        last = feed.last_frame
        if last is not None:
            yield f"marey_feed_age_seconds{_labels(feed=name)} {now - last:.3f}"
    yield from head("alarms_total", "counter", "Alarms that began, ever.")
    for lane in watch.lanes:
        for watched in lane.watched:
            labels = _labels(feed=watched.feed, rule=watched.rule.name)
            yield f"marey_alarms_total{labels} {watched.state.number}"
    yield from head("alarm", "gauge", "1 while there is an alarm.")
    for lane in watch.lanes:
        for watched in lane.watched:
            labels = _labels(feed=watched.feed, rule=watched.rule.name)
            yield f"marey_alarm{labels} {int(watched.state.alarmed)}"
    counts = watch.counts
    for name, value, words in (
        ("windows_scored_total", counts.scored, "Windows that the model judged."),
        ("windows_spared_total", counts.spared, "Windows in which nothing moved."),
        ("scores_odd_total", counts.odd, "Scores that are no number from 0 to 1."),
        ("latency_seconds_count", counts.rounds, "Looks at feeds."),
        ("latency_seconds_sum", f"{counts.latency_sum:.6f}", "Seconds from a decoded frame to its verdict."),
    ):
        yield from head(name, "counter", words)
        yield f"marey_{name} {value}"
    for name, kind, words in (
        ("delivered", "counter", "Events that a sink took."),
        ("failed", "counter", "Times that a sink did not take an event."),
    ):
        yield from head(f"sink_{name}_total", kind, words)
        for courier in watch.couriers:
            yield f"marey_sink_{name}_total{_labels(sink=courier.name)} {getattr(courier, name)}"
    yield from head("sink_waiting", "gauge", "Events that wait for a sink.")
    for courier in watch.couriers:
        yield f"marey_sink_waiting{_labels(sink=courier.name)} {watch.outbox.count(courier.name)}"
    if watch.recorder is not None:
        yield from head("clips_written_total", "counter", "Clips and pictures that were written.")
        yield f"marey_clips_written_total {watch.recorder.written}"
        yield from head("clips_failed_total", "counter", "Clips and pictures that could not be written.")
        yield f"marey_clips_failed_total {watch.recorder.failed}"


def _labels(**labels: str) -> str:
    def quoted(value: str) -> str:
        return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")

    return "{" + ",".join(f'{name}="{quoted(value)}"' for name, value in labels.items()) + "}"


class StatusServer:
    """Answers `/healthz` and `/metrics`, to this machine alone unless told otherwise.

    Args:
        watch: what is spoken of. host, port: where; port 0 takes any that is free.
    """

    def __init__(self, watch: Watch, host: str, port: int) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = 5

            def do_GET(self) -> None:
                if self.path == "/metrics":
                    self._answer(200, "text/plain; version=0.0.4; charset=utf-8", metrics(watch))
                elif self.path == "/healthz":
                    status, body = health(watch)
                    self._answer(status, "application/json", json.dumps(body) + "\n")
                else:
                    self._answer(404, "text/plain", "there are /healthz and /metrics\n")

            def _answer(self, status: int, kind: str, text: str) -> None:
                body = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *words: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, name="status", daemon=True).start()

    def close(self) -> None:
        """Answer no longer."""
        self._server.shutdown()
        self._server.server_close()

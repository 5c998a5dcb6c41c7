"use strict";
(() => {
  const about = JSON.parse(document.getElementById("about").textContent);
  const video = document.querySelector("video"), lanes = document.querySelector(".lanes");
  const field = document.querySelector(".field"), head = document.querySelector(".head"), over = document.querySelector(".over");
  const now = document.querySelector(".now"), failed = document.getElementById("failed");
  const marks = [...document.querySelectorAll("[data-start]")].map((at) => ({
    at, start: +at.dataset.start, end: +at.dataset.end, score: at.dataset.score === undefined ? null : +at.dataset.score,
  }));
  const { start, end, begins, frame } = about;

  // A player's clock begins at 0 with the file; some browsers keep the file's own clock. Its length tells which.
  let shift = begins;
  const settle = () => {
    if (!isFinite(video.duration)) return;
    const own = Math.abs(video.duration - about.until) < Math.abs(video.duration - (about.until - begins));
    shift = own ? 0 : begins;
    draw();
  };
  const time = () => Math.min(Math.max(video.currentTime + shift, start), end);
  const jump = (to) => {
    to = Math.min(Math.max(to, start), end);
    video.currentTime = Math.max(0, Math.min(to, end - frame / 2) - shift);
    draw(to);
  };
  // half a frame on: at the very edge of a frame, players show the one before
  const show = (mark) => { jump(mark.start + Math.min(frame, mark.end - mark.start) / 2); follow(); };

  const clock = (t) => {
    const tenths = Math.round(Math.abs(t) * 10), s = Math.floor(tenths / 10);
    const two = (n) => String(n).padStart(2, "0");
    const h = Math.floor(s / 3600), m = Math.floor(s / 60) % 60;
    return (t < 0 ? "−" : "") + (h ? h + ":" + two(m) : m) + ":" + two(s % 60) + "." + (tenths % 10);
  };
  function draw(at) {
    const t = typeof at === "number" ? at : time();
    head.style.left = (100 * (t - start)) / (end - start) + "%";
    const running = new Set();
    for (const mark of marks) {
      const on = !mark.at.hidden && mark.start <= t && t < mark.end;
      mark.at.classList.toggle("now", on);
      if (mark.at.tagName !== "TR") continue;
      if (on) mark.at.setAttribute("aria-current", "true"); else mark.at.removeAttribute("aria-current");
      if (on && mark.at.dataset.kind === "found") running.add(mark.at.dataset.label);
    }
    const text = clock(t) + (running.size ? " · " + [...running].join(", ") : "");
    now.textContent = text;
    lanes.setAttribute("aria-valuenow", t.toFixed(2));
    lanes.setAttribute("aria-valuetext", text);
  }
  const follow = () => {
    const x = over.offsetLeft + head.offsetLeft, left = lanes.scrollLeft + over.offsetLeft, right = lanes.scrollLeft + lanes.clientWidth;
    if (x < left || x > right) lanes.scrollLeft = x - over.offsetLeft - 40;
  };
  const run = () => { draw(); if (!video.paused) { follow(); requestAnimationFrame(run); } };

  for (const name of ["loadedmetadata", "durationchange"]) video.addEventListener(name, settle);
  for (const name of ["timeupdate", "seeked"]) video.addEventListener(name, () => draw());
  video.addEventListener("play", run);
  video.addEventListener("error", () => { failed.hidden = false; });
  if (video.error) failed.hidden = false;

  const from = (event) => {
    const box = over.getBoundingClientRect();
    return start + ((event.clientX - box.left) / box.width) * (end - start);
  };
  let pulled = false;
  field.addEventListener("pointerdown", (event) => {
    const inside = event.target.closest(".lane, .ruler");
    if (!inside || event.button) return;
    pulled = true;
    const segment = event.target.closest(".seg");
    if (segment) show(marks.find((mark) => mark.at === segment)); else jump(from(event));
  });
  addEventListener("pointermove", (event) => { if (pulled && event.buttons) jump(from(event)); });
  addEventListener("pointerup", () => { pulled = false; });

  for (const mark of marks) {
    if (mark.at.tagName === "TR") mark.at.addEventListener("click", () => show(mark));
  }

  const seen = () => marks.filter((mark) => !mark.at.hidden && mark.at.tagName === "TR");  // the table is in order of time
  lanes.addEventListener("keydown", (event) => {
    const t = time(), step = event.shiftKey ? frame : 1;
    const to = {
      ArrowLeft: () => jump(t - step), ArrowRight: () => jump(t + step), ArrowDown: () => jump(t - step), ArrowUp: () => jump(t + step),
      PageDown: () => jump(t - 10), PageUp: () => jump(t + 10), Home: () => jump(start), End: () => jump(end),
      n: () => { const next = seen().find((m) => m.start > t); if (next) show(next); },
      p: () => { const last = seen().findLast((m) => m.start < t - frame); if (last) show(last); else jump(start); },
      " ": () => (video.paused ? video.play() : video.pause()),
    }[event.key];
    if (!to || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    to();
    follow();
  });

  const least = document.getElementById("least"), shown = document.getElementById("shown");
  const hide = () => {
    let found = 0, kept = 0;
    for (const mark of marks) {
      if (mark.score !== null) mark.at.hidden = mark.score < +least.value - 1e-9;
      if (mark.at.tagName === "TR" && mark.at.dataset.kind === "found") { found += 1; kept += !mark.at.hidden; }
    }
    document.getElementById("least-is").textContent = (+least.value).toFixed(2);
    shown.textContent = kept + " of " + found + " segments";
    draw();
  };
  least.addEventListener("input", hide);
  const zoom = document.getElementById("zoom");
  zoom.addEventListener("input", () => {
    const times = 2 ** +zoom.value;
    lanes.style.setProperty("--zoom", times);
    document.getElementById("zoom-is").textContent = times.toFixed(times < 10 ? 1 : 0) + "×";
    ruler();
    follow();
  });
  function ruler() {
    const line = document.querySelector(".ruler"), wide = line.clientWidth || 800, span = end - start;
    const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600].find((s) => (s / span) * wide > 70) ?? 7200;
    line.textContent = "";
    for (let t = Math.ceil(start / step - 1e-9) * step; t < end; t += step) {
      const tick = document.createElement("span");
      tick.style.left = (100 * (t - start)) / span + "%";
      tick.textContent = step < 1 ? clock(t) : clock(t).slice(0, -2);
      line.append(tick);
    }
  }
  addEventListener("resize", ruler);
  ruler();
  hide();
  if (video.readyState) settle();
})();

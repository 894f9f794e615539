"use strict";
// The player: a clip's pictures with its labels drawn over them, its speaking bars, words and qualities.
const COLOURS = ["#3d9be9", "#ff8c1a", "#b07fe0", "#c0735f", "#3fbf8f", "#e36bb1", "#b5b520", "#4fc3d0"];
const BYSTANDER = "#8fa4e0", NOBODY = "#888";
const LINE_PAUSE_S = 0.8, LINE_LENGTH = 90, UNSURE = 0.4;
const video = $("video"), overlay = $("overlay"), pen = overlay.getContext("2d");
const colour = (person) => (person < 0 ? NOBODY : COLOURS[person % COLOURS.length]);

const player = {
  clip: null, row: null, points: null, frame: 0, blob: "",

  say(text) { $("message").textContent = text; },

  clear() {
    video.pause();
    this.clip = this.points = null;
    this.say("");
    for (const id of ["bars", "words", "facts", "verdict", "time"]) $(id).replaceChildren();
    pen.clearRect(0, 0, overlay.width, overlay.height);
  },

  open(row, clip) {
    this.clip = clip;
    this.row = row;
    this.frame = 0;
    if (this.blob) URL.revokeObjectURL(this.blob);
    this.blob = "";
    [overlay.width, overlay.height] = clip.size;
    $("screen").style.setProperty("--ratio", clip.size[0] / clip.size[1]);
    video.src = clip.video;
    video.currentTime = clip.offset;
    $("poses").disabled = !clip.poses;
    showVerdict(row);
    showBars(clip);
    showWords(clip);
    showFacts(row, clip);
    this.markFound($("search").value);
    if ($("poses").checked) this.loadPoses();
    this.show(0);
    document.dispatchEvent(new CustomEvent("clipopen", { detail: { row, clip } }));
  },

  // Show the labels of a frame.
  show(frame) {
    const clip = this.clip;
    if (!clip) return;
    this.frame = Math.min(Math.max(frame, 0), clip.frames - 1);
    drawLabels(clip, this.frame, this.points);
    const now = this.frame / clip.fps;
    $("time").textContent = `${now.toFixed(2)} / ${(clip.frames / clip.fps).toFixed(2)} s`;
    const head = $("playhead");
    if (head) head.style.left = `${xOf(this.frame + 0.5)}px`;
    for (const word of $("words").querySelectorAll("span")) word.classList.toggle("now", word.start <= now && now < word.end);
  },

  seek(frame) {
    if (!this.clip) return;
    const to = Math.min(Math.max(frame, 0), this.clip.frames - 1);
    // The middle of the frame, so that rounding shows no neighbour.
    video.currentTime = this.clip.offset + (to + 0.5) / this.clip.fps;
    this.show(to);
  },

  toggle() {
    if (!this.clip) return;
    if (!video.paused) return video.pause();
    if (this.frame >= this.clip.frames - 1) this.seek(0);
    video.play().catch((error) => this.say(`The video cannot be played: ${error.message}`));
  },

  async loadPoses() {
    const name = this.clip?.clip;
    if (!name || !this.clip.poses) return;
    if (!gallery.packed.has(name)) {
      try {
        await load(`data/${encodeURIComponent(name)}.poses.js`);
      } catch (error) {
        return this.say(`${error.message} Make the gallery again.`);
      }
    }
    const points = await unpackPoses(gallery.packed.get(name));
    if (this.clip?.clip !== name) return;
    this.points = points;
    this.show(this.frame);
  },

  markFound(text) {
    const wanted = text.trim().toLowerCase().split(/\s+/).filter(Boolean);
    for (const word of $("words").querySelectorAll("span")) {
      const said = word.textContent.toLowerCase();
      word.classList.toggle("found", wanted.some((one) => said.includes(one)));
    }
  },
};

function frameAt(time) {
  return Math.floor((time - player.clip.offset) * player.clip.fps + 1e-3);
}

// Follow the pictures that are really shown, where the browser tells.
function follow(_, shown) {
  // While it seeks, the picture is still that of before.
  if (player.clip && !video.seeking) {
    player.show(frameAt(shown ? shown.mediaTime + 0.5 / player.clip.fps : video.currentTime));
    stopAtEnd();
  }
  if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(follow);
  else requestAnimationFrame(() => follow());
}

// A rejected segment is a part of its video.
function stopAtEnd() {
  if (!player.clip || video.paused || player.frame < player.clip.frames - 1) return;
  if ($("loop").checked) player.seek(0);
  else if (player.row.state === "rejected") video.pause();
}

// A server that cannot send parts of a file gives a video without seeking: it is taken as a whole then.
async function takeWhole() {
  const clip = player.clip;
  const canSeek = video.seekable.length && video.seekable.end(0) > 0;
  if (!clip || canSeek || player.blob || !location.protocol.startsWith("http")) return;
  const blob = await (await fetch(clip.video)).blob();
  if (player.clip !== clip) return;
  player.blob = URL.createObjectURL(blob);
  video.src = player.blob;
  video.currentTime = clip.offset;
}

async function unpackPoses(data) {
  const bytes = Uint8Array.from(atob(data.packed), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const steps = new Int16Array(await new Response(stream).arrayBuffer());
  const [frames, people, count] = data.shape;
  const size = people * count * 2;
  for (let i = size; i < frames * size; i++) steps[i] += steps[i - size];
  return { values: steps, people, count, size, frames, every: data.every, scale: 1 / data.steps };
}

function boxAt(boxes, at) {
  if (at < 0 || 4 * at >= boxes.length || boxes[4 * at] < 0) return null;
  return boxes.slice(4 * at, 4 * at + 4);
}

const within = (periods, frame) => periods.some(([start, end]) => start <= frame && frame < end);

function drawLabels(clip, frame, points) {
  const [width, height] = clip.size, side = Math.min(width, height);
  pen.clearRect(0, 0, width, height);
  if (points && $("poses").checked) drawPoses(points, frame, side);
  if (!$("boxes").checked) return;
  const line = Math.max(1, side * 0.005), size = Math.max(11, side * 0.035);
  pen.font = `600 ${size}px system-ui, sans-serif`;
  clip.people.forEach((person, i) => {
    const box = boxAt(person.boxes, frame);
    if (!box) return;
    const [x1, y1, x2, y2] = box, speaks = within(person.speak, frame);
    pen.strokeStyle = colour(i);
    pen.lineWidth = speaks ? 2.2 * line : line;
    pen.setLineDash(speaks ? [] : [4 * line, 3 * line]);
    pen.strokeRect(x1, y1, x2 - x1, y2 - y1);
    const top = Math.max(y1 - 1.35 * size, 0);
    pen.fillStyle = speaks ? colour(i) : "#0008";
    pen.fillRect(x1 - line / 2, top, pen.measureText(person.name).width + 0.6 * size, 1.3 * size);
    pen.fillStyle = "#fff";
    pen.fillText(person.name, x1 + 0.3 * size, top + size);
  });
  pen.strokeStyle = BYSTANDER;
  pen.lineWidth = line;
  pen.setLineDash([2 * line, 3 * line]);
  pen.fillStyle = BYSTANDER;
  clip.bystanders.forEach((bystander, i) => {
    const box = boxAt(bystander.boxes, frame - bystander.start);
    if (!box) return;
    pen.strokeRect(box[0], box[1], box[2] - box[0], box[3] - box[1]);
    pen.fillText(`b${i}`, box[0], Math.max(box[1] - 0.3 * size, size));
  });
  pen.setLineDash([]);
}

function drawPoses(points, frame, side) {
  const at = Math.min(Math.round(frame / points.every), points.frames - 1) * points.size;
  pen.lineWidth = Math.max(1, side * 0.004);
  pen.setLineDash([]);
  for (let person = 0; person < points.people; person++) {
    const start = at + person * points.count * 2;
    const point = (k) => {
      const x = points.values[start + 2 * k], y = points.values[start + 2 * k + 1];
      return x === 0 && y === 0 ? null : [x * points.scale, y * points.scale];
    };
    pen.strokeStyle = colour(person);
    pen.beginPath();
    for (const [a, b] of gallery.limbs) {
      const from = point(a), to = point(b);
      if (from && to) { pen.moveTo(...from); pen.lineTo(...to); }
    }
    pen.stroke();
    pen.fillStyle = "#fff";
    for (let k = 0; k < points.count; k++) {
      const dot = point(k);
      if (dot) pen.fillRect(dot[0] - pen.lineWidth / 2, dot[1] - pen.lineWidth / 2, pen.lineWidth, pen.lineWidth);
    }
  }
}

function showVerdict(row) {
  const parts = [`${row.duration_s} s, ${row.num_people} people, video ${row.video} from ${clock(row.start_s)}`];
  if (row.state === "kept") parts.push(row.split ? `split ${row.split}` : "");
  $("verdict").replaceChildren(parts.filter(Boolean).join(", "));
  if (row.state === "rejected") $("verdict").append(element("div", { className: "bad" }, `Rejected: ${reasons(row).join("; ")}.`));
}

// Say of each gate that rejects a segment what was measured and what the gate requires.
function reasons(row) {
  return row.rejected_by.split(",").map((gate) => {
    const column = gate.replace(/^(min|max)_/, "");
    if (!(gate in gallery.limits)) return gate.replaceAll("_", " ");
    return `${column} is ${row[column] ?? "unknown"}, ${gate.startsWith("min") ? "at least" : "at most"} ${gallery.limits[gate]} passes`;
  });
}

function clock(seconds) {
  const whole = Math.floor(seconds);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return parts.map((part) => String(part).padStart(2, "0")).join(":");
}

function xOf(frame) {
  const [first] = $("bars").getElementsByTagName("canvas");
  return first ? first.offsetLeft + (frame / player.clip.frames) * first.clientWidth : 0;
}

function frameOfX(clientX) {
  const area = $("bars").querySelector("canvas").getBoundingClientRect();
  const share = (clientX - area.left) / area.width;
  return Math.floor(Math.min(Math.max(share, 0), 1 - 1e-9) * player.clip.frames);
}

function showBars(clip) {
  const bars = clip.people.map((person, i) => {
    const canvas = element("canvas", { width: 1000, height: 60 });
    drawBar(canvas, person, clip.frames, colour(i));
    const name = element("span", { title: person.name }, person.name);
    name.style.color = colour(i);
    return element("div", { className: "bar" }, name, canvas);
  });
  // Where nobody is labelled the bar still shows where the clip is.
  if (!bars.length) bars.push(element("div", { className: "bar" }, element("span", {}, "nobody labelled"), element("canvas", { width: 1000, height: 60 })));
  $("bars").replaceChildren(...bars, element("div", { id: "range", hidden: true }), element("div", { id: "playhead" }));
}

function drawBar(canvas, person, frames, paint) {
  const { width, height } = canvas, ink = canvas.getContext("2d"), scale = width / frames;
  ink.fillStyle = paint;
  for (const [start, end] of person.speak) ink.fillRect(start * scale, 0, (end - start) * scale, height);
  ink.fillStyle = "#0003";
  for (const [start, end] of person.absent) for (let x = start * scale; x < end * scale; x += 6) ink.fillRect(x, 0, 2, height);
  // The score, from -4 at the bottom to 4 at the top.
  ink.strokeStyle = "#222";
  ink.lineWidth = 2;
  ink.beginPath();
  person.score.forEach((score, k) => {
    const y = height / 2 - (Math.min(Math.max(score, -4), 4) / 4) * (height / 2 - 2);
    if (k) ink.lineTo((k + 0.5) * scale, y); else ink.moveTo(0, y);
  });
  ink.stroke();
  ink.fillStyle = "#0005";
  ink.fillRect(0, height / 2, width, 1);
}

function showWords(clip) {
  const lines = [];
  for (const [text, start, end, person, confidence] of clip.words) {
    const last = lines.at(-1);
    if (!last || last.person !== person || start - last.end > LINE_PAUSE_S || last.length > LINE_LENGTH) lines.push({ person, start, words: [], length: 0 });
    const line = lines.at(-1);
    line.end = end;
    line.length += text.length + 1;
    const word = element("span", { title: `${start.toFixed(2)}-${end.toFixed(2)} s, confidence ${confidence}` }, text);
    Object.assign(word, { start, end });
    word.classList.toggle("unsure", confidence < UNSURE);
    word.addEventListener("click", () => player.seek(Math.floor(start * clip.fps)));
    line.words.push(word, " ");
  }
  $("words").replaceChildren(...lines.map((line) => {
    const name = element("b", {}, line.person < 0 ? "off screen: " : `${clip.people[line.person].name}: `);
    name.style.color = colour(line.person);
    return element("p", {}, element("time", {}, `${line.start.toFixed(1)} s`), name, ...line.words);
  }));
}

function showFacts(row, clip) {
  const failed = new Set(row.rejected_by.split(",").map((gate) => gate.replace(/^(min|max)_/, "")));
  const facts = gallery.columns
    .filter((column) => row[column.name] !== null && row[column.name] !== "")
    .map((column) => [column.name, row[column.name], column.unit, column.meaning]);
  for (const [name, values] of Object.entries(clip.lists)) if (values.length) facts.push([name, values.join(", "), "", ""]);
  $("facts").replaceChildren(...facts.map(([name, value, unit, meaning]) => {
    const cells = [name, `${value}${unit && unit !== "0-1" ? ` ${unit}` : ""}`, meaning].map((text) => element("td", {}, text));
    return element("tr", { className: failed.has(name) ? "bad" : "", title: meaning }, ...cells);
  }));
}

$("play").addEventListener("click", () => player.toggle());
video.addEventListener("click", () => player.toggle());
video.addEventListener("play", () => { $("play").textContent = "❚❚"; });
video.addEventListener("pause", () => { $("play").textContent = "▶"; });
video.addEventListener("ended", () => { if ($("loop").checked) { player.seek(0); player.toggle(); } });
video.addEventListener("loadedmetadata", takeWhole);
video.addEventListener("timeupdate", () => { if (player.clip && !video.seeking) { player.show(frameAt(video.currentTime)); stopAtEnd(); } });
video.addEventListener("error", () => {
  if (player.clip) player.say(`${player.clip.video} cannot be played: it is not there, or the browser lacks its format (H.264).`);
});
$("speed").addEventListener("change", () => { video.playbackRate = Number($("speed").value); });
video.addEventListener("loadeddata", () => { video.playbackRate = Number($("speed").value); });
$("boxes").addEventListener("change", () => player.show(player.frame));
$("poses").addEventListener("change", () => { if ($("poses").checked) player.loadPoses(); player.show(player.frame); });
window.addEventListener("resize", () => player.show(player.frame));

// A click on the bars seeks, as does dragging; in a review, dragging selects a range, and a double click the period that was hit.
let dragged = 0;
$("bars").addEventListener("pointerdown", (event) => {
  if (!player.clip) return;
  $("bars").setPointerCapture(event.pointerId);
  dragged = frameOfX(event.clientX);
  const person = [...$("bars").querySelectorAll(".bar")].indexOf(event.target.closest(".bar"));
  if (player.clip.people[person]) $("whom").value = person;
  player.seek(dragged);
});
$("bars").addEventListener("pointermove", (event) => {
  if (!player.clip || !$("bars").hasPointerCapture(event.pointerId)) return;
  const frame = frameOfX(event.clientX);
  if (isReviewing() && Math.abs(frame - dragged) > 1) review.select([Math.min(frame, dragged), Math.max(frame, dragged) + 1]);
  player.seek(frame);
});
$("bars").addEventListener("dblclick", () => {
  const hit = player.clip?.people[$("whom").value]?.speak.find(([start, end]) => start <= player.frame && player.frame < end);
  if (isReviewing() && hit) review.select(hit);
});

const KEYS = {
  " ": () => player.toggle(),
  ArrowLeft: () => player.seek(player.frame - 25),
  ArrowRight: () => player.seek(player.frame + 25),
  ",": () => { video.pause(); player.seek(player.frame - 1); },
  ".": () => { video.pause(); player.seek(player.frame + 1); },
  j: () => go(1),
  k: () => go(-1),
  b: () => $("boxes").click(),
  p: () => $("poses").click(),
  "/": () => $("search").focus(),
};
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") document.activeElement.blur();
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName) && document.activeElement.type !== "checkbox";
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return;
  event.preventDefault();
  KEYS[event.key]();
});

follow();

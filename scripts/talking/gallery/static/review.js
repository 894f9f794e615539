"use strict";
// The review: decisions on clips, bound to video, time and place in the picture; kept in the browser and saved as review.tsv.
const REVIEW_STORE = `review ${location.pathname}`;

const review = {
  // Those of the file that the workflow was run with, then what was decided or deleted here.
  ofFile: [], here: [], deleted: [], range: null,
  // What holds for every review file, as data/review.js says: its columns, how names look, which clips a keep or drop is about.
  rules: { columns: [] },

  open(rows, rules) {
    this.rules = { ...rules, name: new RegExp(`^(?:${rules.name})$`), given_name: new RegExp(`^(?:${rules.given_name})$`) };
    this.ofFile = rows.map((row) => Object.fromEntries(rules.columns.map((name, i) => [name, row[i]])));
  },

  all() {
    const seen = new Set(this.deleted), found = [];
    for (const decision of [...this.ofFile, ...this.here]) {
      const key = keyOf(decision);
      if (!seen.has(key)) found.push(decision);
      seen.add(key);
    }
    return found.sort((a, b) => (a.when < b.when ? -1 : a.when > b.when ? 1 : 0));
  },

  of(row) { return this.all().filter((decision) => decision.video === row.video && concerns(decision, row)); },

  // Which fields were decided about a row, for the table.
  fields(row) {
    return [...new Set(this.of(row).map((decision) => (decision.field === "decision" ? decision.value : decision.field)))].join(", ");
  },

  add(field, value, face = "") {
    const clip = player.clip;
    if (!clip) return;
    const [start, end] = this.range ?? [0, clip.frames];
    const time = (frame) => String(Number(((clip.first + frame) / clip.fps).toFixed(3)));
    const when = `${new Date().toISOString().slice(0, 19)}Z`;
    const decision = { video: player.row.video, start_s: time(start), end_s: time(end), field, value, face, who: $("who").value.trim(), when };
    this.deleted = this.deleted.filter((key) => key !== keyOf(decision));
    this.here.push(decision);
    this.changed();
  },

  remove(decision) {
    this.here = this.here.filter((other) => keyOf(other) !== keyOf(decision));
    this.deleted.push(keyOf(decision));
    this.changed();
  },

  changed() {
    try {
      localStorage.setItem(REVIEW_STORE, JSON.stringify({ here: this.here, deleted: this.deleted, who: $("who").value }));
    } catch (error) {
      player.say(`The browser does not keep the review (${error.message}): save it before you close the page.`);
    }
    this.show();
  },

  restore() {
    let kept = null;
    try { kept = JSON.parse(localStorage.getItem(REVIEW_STORE)); } catch { /* A browser without a store begins anew. */ }
    if (!kept) return;
    this.here = kept.here;
    this.deleted = kept.deleted;
    $("who").value = kept.who;
  },

  show() {
    const count = this.all().length;
    $("decided").textContent = `${count} decision${count === 1 ? "" : "s"}`;
    $("save").disabled = !count;
    if (!player.clip) return;
    gallery.table.updateData([{ id: player.row.id, decisions: this.fields(player.row) }]);
    correctSpeaking(player.clip, this.of(player.row));
    $("decisions").replaceChildren(...this.of(player.row).map((decision) => {
      const remove = element("button", { title: "Delete this decision", textContent: "✕" });
      remove.addEventListener("click", () => this.remove(decision));
      return element("li", {}, remove, ` ${told(decision)}`);
    }));
    player.show(player.frame);
  },

  // Select frames [start, end) of the clip; null: all.
  select(range) {
    this.range = range;
    const [start, end] = range ?? [0, player.clip.frames];
    $("from").value = (start / player.clip.fps).toFixed(2);
    $("to").value = (end / player.clip.fps).toFixed(2);
    $("range").hidden = !range;
    $("range").style.left = `${xOf(start)}px`;
    $("range").style.width = `${xOf(end) - xOf(start)}px`;
  },
};

const keyOf = (decision) => JSON.stringify(review.rules.columns.map((name) => decision[name]));

function concerns(decision, row) {
  const start = Number(decision.start_s), end = Number(decision.end_s), length = row.duration_s;
  const common = Math.min(end, row.start_s + length) - Math.max(start, row.start_s);
  if (decision.field !== "decision") return common > 0.001;
  const { keep, keep_covers, drop_shares } = review.rules;
  return common >= (decision.value === keep ? keep_covers * length : drop_shares * Math.min(length, end - start)) - 0.001;
}

function told(decision) {
  const clip = player.clip, offset = clip.first / clip.fps;
  const at = `${(decision.start_s - offset).toFixed(2)}-${(decision.end_s - offset).toFixed(2)} s`;
  const person = decision.face ? clip.people[personAt(clip, decision.face)]?.name ?? "somebody" : "";
  const what = {
    decision: decision.value,
    labels: "labels are right",
    speaking: `${person} ${decision.value === "yes" ? "speaks" : "is silent"}`,
    person: `${person} is ${decision.value} here`,
    rename: `${person} is ${decision.value} everywhere`,
    words: decision.value ? `words are: ${decision.value}` : "words are wrong",
    note: decision.value,
  }[decision.field];
  return `${at}: ${what}${decision.who ? ` (${decision.who})` : ""}`;
}

// The person of a clip whose box lies nearest to a face of the review file, -1 if none is near.
function personAt(clip, face) {
  const [seconds, x, y] = face.split(" ").map(Number), frame = Math.round(seconds * clip.fps) - clip.first;
  let best = [1, -1];
  clip.people.forEach((person, i) => {
    const box = boxAt(person.boxes, frame);
    if (!box) return;
    const dx = (x * clip.size[0] - (box[0] + box[2]) / 2) / Math.max(box[2] - box[0], 1);
    const dy = (y * clip.size[1] - (box[1] + box[3]) / 2) / Math.max(box[3] - box[1], 1);
    const away = Math.hypot(dx, dy);
    if (away < best[0]) best = [away, i];
  });
  return best[1];
}

// Where a person's face is: in the shown frame if it is within the range and the face shows, else where it first shows.
function faceOf(person) {
  const clip = player.clip, [start, end] = review.range ?? [0, clip.frames];
  const order = [player.frame, ...Array(clip.frames).keys()];
  const shows = (frame) => boxAt(clip.people[person].boxes, frame);
  const frame = order.find((f) => f >= start && f < end && shows(f)) ?? order.find(shows);
  if (frame === undefined) return "";
  const [x1, y1, x2, y2] = shows(frame);
  const numbers = [(clip.first + frame) / clip.fps, (x1 + x2) / 2 / clip.size[0], (y1 + y2) / 2 / clip.size[1]];
  return numbers.map((number) => Number(Math.min(Math.max(number, 0), 1e9).toFixed(4))).join(" ");
}

// Show who speaks as it will be once the review is applied.
function correctSpeaking(clip, decisions) {
  clip.people.forEach((person, i) => {
    person.asModelled ??= person.speak;
    const speaks = new Array(clip.frames).fill(false);
    for (const [start, end] of person.asModelled) speaks.fill(true, start, end);
    for (const decision of decisions) {
      if (decision.field !== "speaking" || personAt(clip, decision.face) !== i) continue;
      const frame = (seconds) => Math.min(Math.max(Math.round(seconds * clip.fps) - clip.first, 0), clip.frames);
      speaks.fill(decision.value === "yes", frame(decision.start_s), frame(decision.end_s));
    }
    person.speak = periods(speaks);
    const canvas = $("bars").querySelectorAll("canvas")[i];
    canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
    drawBar(canvas, person, clip.frames, colour(i));
  });
}

function periods(mask) {
  const found = [];
  mask.forEach((on, k) => {
    if (on && !mask[k - 1]) found.push([k, k]);
    if (on) found.at(-1)[1] = k + 1;
  });
  return found;
}

function asTsv(decisions) {
  const cell = (text) => (/[\t\n\r"]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const { columns } = review.rules;
  const rows = [columns, ...decisions.map((decision) => columns.map((name) => decision[name]))];
  return rows.map((row) => row.map(cell).join("\t")).join("\n") + "\n";
}

// Return the rows of a table with tabs between the cells, of which some may stand in quotes.
function fromTsv(text) {
  const rows = [[]];
  const cells = /(?:"((?:[^"]|"")*)"|([^\t\n]*))(\t|\n|$)/g;
  for (const [whole, quoted, plain, end] of text.replaceAll("\r\n", "\n").matchAll(cells)) {
    if (!whole) break;
    rows.at(-1).push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (end === "\n") rows.push([]);
  }
  return rows.filter((row) => row.some(Boolean) && !row[0].startsWith("#"));
}

async function openReview(file) {
  const [head, ...rows] = fromTsv(await file.text());
  const { columns } = review.rules, missing = columns.filter((name) => !head?.includes(name));
  if (missing.length) return player.say(`${file.name} has no column ${missing.join(", ")}: it is no review file.`);
  for (const row of rows) review.here.push(Object.fromEntries(columns.map((name) => [name, row[head.indexOf(name)] ?? ""])));
  for (const row of gallery.rows) row.decisions = review.fields(row);
  gallery.table.replaceData(gallery.rows);
  review.changed();
}

function save() {
  const address = URL.createObjectURL(new Blob([asTsv(review.all())], { type: "text/tab-separated-values" }));
  element("a", { href: address, download: "review.tsv" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

function aboutPerson(field, value) {
  if (!player.clip) return;
  const face = player.clip.people.length ? faceOf(Number($("whom").value)) : "";
  if (!face) return player.say("No face of that person shows in this clip.");
  player.say("");
  review.add(field, value, face);
}

function nameAs(field) {
  const name = $("called").value.trim();
  if (!review.rules.name.test(name) || review.rules.given_name.test(name)) {
    return player.say("Type a name of letters, digits, spaces and ._- for the person; p000001 would be another person after the next run.");
  }
  aboutPerson(field, name);
}

function isReviewing() { return document.body.classList.contains("reviewing"); }

document.addEventListener("clipopen", ({ detail: { clip } }) => {
  $("whom").replaceChildren(...clip.people.map((person, i) => element("option", { value: i }, person.name)));
  const names = new Set(gallery.rows.flatMap((row) => row.persons.split(", ")).filter((name) => name && !review.rules.given_name.test(name)));
  for (const decision of review.all()) if (review.rules.named.includes(decision.field)) names.add(decision.value);
  $("persons").replaceChildren(...[...names].sort().map((name) => element("option", { value: name })));
  review.select(null);
  review.show();
});

$("reviewing").addEventListener("click", () => {
  const on = document.body.classList.toggle("reviewing");
  $("reviewing").setAttribute("aria-pressed", String(on));
  if (player.clip) review.select(review.range);
});
for (const button of document.querySelectorAll("[data-decide]")) {
  button.addEventListener("click", () => {
    // A clip is kept or dropped as a whole.
    if (button.dataset.decide === "decision") review.select(null);
    review.add(button.dataset.decide, button.dataset.value);
  });
}
for (const button of document.querySelectorAll("[data-speaking]")) {
  button.addEventListener("click", () => {
    if (!review.range) return player.say("Drag over a bar, or type from and to, to say when.");
    aboutPerson("speaking", button.dataset.speaking);
  });
}
$("rename").addEventListener("click", () => nameAs("rename"));
$("person").addEventListener("click", () => nameAs("person"));
$("wrong-words").addEventListener("click", () => (review.range ? review.add("words", "") : player.say("Drag over a bar, or type from and to, to say which words.")));
$("right-words").addEventListener("click", () => {
  if (!review.range || !$("text").value.trim()) return player.say("Drag over a bar, or type from and to, and type the words that are said there.");
  review.add("words", $("text").value.trim());
  $("text").value = "";
});
$("note").addEventListener("click", () => {
  if (!$("text").value.trim()) return;
  review.add("note", $("text").value.trim());
  $("text").value = "";
});
$("whole").addEventListener("click", () => player.clip && review.select(null));
for (const id of ["from", "to"]) {
  $(id).addEventListener("change", () => {
    if (!player.clip) return;
    const [start, end] = ["from", "to"].map((name) => Math.round(Number($(name).value) * player.clip.fps));
    const first = Math.min(Math.max(start, 0), player.clip.frames - 1);
    review.select([first, Math.min(Math.max(end, first + 1), player.clip.frames)]);
  });
}
$("who").addEventListener("change", () => review.changed());
$("save").addEventListener("click", save);
$("open").addEventListener("change", () => { if ($("open").files[0]) openReview($("open").files[0]); $("open").value = ""; });

const press = (selector) => () => document.querySelector(selector).click();
const OF_REVIEW = {
  "[": () => review.select([player.frame, Math.max(review.range?.[1] ?? player.clip.frames, player.frame + 1)]),
  "]": () => review.select([Math.min(review.range?.[0] ?? 0, player.frame), player.frame + 1]),
  K: press("[data-value=keep]"), D: press("[data-value=drop]"), R: press("[data-value=right]"),
  S: press("[data-speaking=yes]"), X: press("[data-speaking=no]"),
};
KEYS.r = () => $("reviewing").click();
for (const [key, act] of Object.entries(OF_REVIEW)) KEYS[key] = () => { if (isReviewing() && player.clip) act(); };
review.restore();

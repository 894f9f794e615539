"use strict";
// The table of clips: filters, search, links. The files of data/ call gallery.index, .words, .clip and .poses with what they hold.
const $ = (id) => document.getElementById(id);
const FIRST_COLUMNS = ["clip", "state", "split", "source", "language", "duration_s", "num_people", "num_turns", "expected_error", "reviewed", "decisions", "rejected_by"];
const WIDTHS = { clip: 225, state: 80, split: 85, source: 85, language: 80, rejected_by: 200, persons: 160 };
const DECISIONS = { name: "decisions", unit: "", meaning: "what you or others have decided about the clip, applied by the next run", text: true };
const CACHED_CLIPS = 8;

const gallery = {
  columns: [], rows: [], byClip: new Map(), limits: {}, limbs: [], table: null, opened: "",
  texts: null, found: new Set(), clips: new Map(), packed: new Map(), waiting: new Map(),

  index(data) {
    this.columns = [...data.columns, DECISIONS];
    this.limits = data.limits;
    this.limbs = data.limbs;
    const values = data.columns.map((column) => unpacked(column, data.values[column.name]));
    for (let i = 0; i < data.rows; i++) {
      const row = { id: i };
      data.columns.forEach((column, c) => { row[column.name] = values[c][i]; });
      row.decisions = review.fields(row);
      this.rows.push(row);
      this.byClip.set(row.clip, row);
    }
    makeTable();
  },
  review(rows, rules) { review.open(rows, rules); },
  words(texts) { this.texts = texts.map((text) => text.toLowerCase()); },
  clip(data) { remember(this.clips, data.clip, data); },
  poses(clip, data) { remember(this.packed, clip, data); },
};

function unpacked(column, values) {
  return column.text ? values.codes.map((code) => values.texts[code]) : values;
}

function remember(map, key, value) {
  map.set(key, value);
  if (map.size > CACHED_CLIPS) map.delete(map.keys().next().value);
}

// Load a script once; resolves when it has run.
function load(address) {
  if (!gallery.waiting.has(address)) {
    gallery.waiting.set(address, new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = address;
      script.onload = () => { script.remove(); gallery.waiting.delete(address); resolve(); };
      script.onerror = () => { script.remove(); gallery.waiting.delete(address); reject(new Error(`${address} cannot be read.`)); };
      document.head.append(script);
    }));
  }
  return gallery.waiting.get(address);
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// Return whether a value meets a filter: "text", or for numbers ">5", "<=0.3", "2..5", "5".
function meets(filter, value, isText) {
  filter = String(filter).trim();
  if (filter === "") return true;
  if (isText) return String(value).toLowerCase().includes(filter.toLowerCase());
  if (value === null) return false;
  const range = filter.match(/^(-?[\d.]+)\s*\.\.\s*(-?[\d.]+)$/);
  if (range) return value >= Number(range[1]) && value <= Number(range[2]);
  const [, sign, text] = filter.match(/^(>=|<=|>|<|=)?\s*(.*)$/);
  const number = Number(text);
  // Half typed.
  if (text === "" || Number.isNaN(number)) return true;
  return { ">": value > number, "<": value < number, ">=": value >= number, "<=": value <= number }[sign] ?? value === number;
}

function tableColumn(column) {
  const choices = column.text ? new Set(gallery.rows.map((row) => row[column.name])) : null;
  const isChoice = choices && choices.size <= 30 && column.name !== "clip";
  return {
    // May be broken after an underscore.
    title: column.name.replaceAll("_", "_\u200b"),
    field: column.name,
    headerTooltip: `${column.meaning}${column.unit ? ` (${column.unit})` : ""}`,
    visible: FIRST_COLUMNS.includes(column.name),
    width: WIDTHS[column.name] ?? (column.text ? 110 : 95),
    hozAlign: column.text ? "left" : "right",
    sorter: column.text ? "string" : "number",
    sorterParams: column.text ? {} : { alignEmptyValues: "bottom" },
    headerSortStartingDir: column.text ? "asc" : "desc",
    headerFilter: isChoice ? "list" : "input",
    headerFilterParams: isChoice ? { values: [...choices].sort(), clearable: true } : {},
    headerFilterFunc: (filter, value) => meets(filter, value, column.text),
    headerFilterLiveFilter: !isChoice,
    headerWordWrap: true,
  };
}

// Return the columns, those that are shown at first before the others.
function inOrder(columns) {
  const first = FIRST_COLUMNS.map((name) => columns.find((column) => column.name === name));
  return [...first, ...columns.filter((column) => !first.includes(column))];
}

function makeTable() {
  const table = gallery.table = new Tabulator("#table", {
    data: gallery.rows,
    index: "id",
    height: "100%",
    columns: inOrder(gallery.columns).map(tableColumn),
    rowFormatter: (row) => row.getElement().classList.toggle("open", row.getData().clip === gallery.opened),
    placeholder: "No clip meets the filters.",
  });
  table.on("rowClick", (_, row) => { location.hash = row.getData().clip; });
  table.on("dataFiltered", (_, rows) => { $("count").textContent = `${rows.length} of ${gallery.rows.length}`; });
  table.on("tableBuilt", () => {
    document.body.dataset.ready = "yes";
    review.show();
    preset(gallery.rows.some((row) => row.state === "kept") ? "kept" : "all");
    openLinked();
    // Loaded once the table is shown: it is needed by a search only.
    setTimeout(() => load("data/words.js").then(applySearch), 0);
  });
  chooseColumns();
}

function chooseColumns() {
  const list = $("columns").querySelector("div");
  for (const column of gallery.columns) {
    const box = element("input", { type: "checkbox", checked: FIRST_COLUMNS.includes(column.name) });
    box.addEventListener("change", () => gallery.table[box.checked ? "showColumn" : "hideColumn"](column.name));
    list.append(element("label", { title: column.meaning }, box, ` ${column.name}`));
  }
}

function preset(name) {
  for (const button of $("presets").children) button.setAttribute("aria-pressed", String(button.dataset.preset === name));
  gallery.preset = name;
  applySearch();
  if (name === "first") gallery.table.setSort("expected_error", "desc");
}

function applySearch() {
  if (!gallery.table) return;
  const wanted = $("search").value.trim().toLowerCase();
  const state = { kept: "kept", rejected: "rejected", first: "kept" }[gallery.preset];
  const shows = (row) => (!state || row.state === state) && (!wanted || mentions(row, wanted));
  if (state || wanted) gallery.table.setFilter(shows);
  else gallery.table.clearFilter();
}

function mentions(row, wanted) {
  return [row.clip, row.persons, gallery.texts?.[row.id]].some((text) => text?.toLowerCase().includes(wanted));
}

// The clip that the address names.
function openLinked() {
  const name = decodeURIComponent(location.hash.slice(1));
  if (name) openClip(name);
}

async function openClip(name) {
  const row = gallery.byClip.get(name);
  gallery.opened = name;
  $("clip").hidden = false;
  player.clear();
  $("name").textContent = name;
  $("name").href = `#${encodeURIComponent(name)}`;
  showOpened(row);
  if (!row) return player.say(`There is no clip ${name}.`);
  try {
    if (!gallery.clips.has(name)) await load(`data/${encodeURIComponent(name)}.js`);
  } catch (error) {
    return player.say(`${error.message} Make the gallery again.`);
  }
  if (gallery.opened === name) player.open(row, gallery.clips.get(name));
}

function showOpened(row) {
  for (const shown of document.querySelectorAll(".tabulator-row.open")) shown.classList.remove("open");
  const found = row && gallery.table.getRow(row.id);
  if (!found) return;
  found.getElement().classList.add("open");
  if (found.getPosition()) gallery.table.scrollToRow(found, "nearest", false).catch(() => {});
}

// Open the clip so many rows on in the table as it is filtered and sorted.
function go(step) {
  const rows = gallery.table.getRows("active");
  const at = rows.findIndex((row) => row.getData().clip === gallery.opened);
  const next = rows[Math.min(Math.max(at + step, 0), rows.length - 1)];
  if (next) location.hash = next.getData().clip;
}

let typed;
$("search").addEventListener("input", () => {
  clearTimeout(typed);
  typed = setTimeout(async () => {
    if (!gallery.texts) await load("data/words.js");
    applySearch();
    player.markFound($("search").value);
  }, 150);
});
for (const button of $("presets").children) button.addEventListener("click", () => preset(button.dataset.preset));
$("previous").addEventListener("click", () => go(-1));
$("next").addEventListener("click", () => go(1));
window.addEventListener("hashchange", openLinked);
for (const details of document.querySelectorAll("header details")) {
  document.addEventListener("click", (event) => { if (!details.contains(event.target)) details.open = false; });
}

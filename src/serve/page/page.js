"use strict";
// The live page. It asks the server that sent it, once a second, for /metrics and what /history has that is new, and shows both.
// Every text, wherever it comes from, is put in by textContent.

const $ = (id) => document.getElementById(id);

/// An element with text or children; nothing is ever parsed as markup.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") element.className = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.map((child) => (child instanceof Node ? child : document.createTextNode(String(child)))));
  return element;
}

// ---- asking ----

let offers = { token: false, predict: false, explain: false, insight: false };
let token = null; // in memory only

async function ask(path, options = {}) {
  const headers = { ...(options.headers || {}) };
  if (token !== null) headers.Authorization = "Bearer " + token;
  const answer = await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit", redirect: "error" });
  if (answer.status === 401) throw new Refused();
  return answer;
}

class Refused extends Error {}

// ---- metrics: their text, read as it is written down (OpenMetrics 1.0) ----

/// Samples by name: a list of { labels, value }.
function parseMetrics(text) {
  const families = new Map();
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    const sample = parseSample(line);
    if (!families.has(sample.name)) families.set(sample.name, []);
    families.get(sample.name).push(sample);
  }
  return families;
}

function parseSample(line) {
  let at = line.search(/[{ ]/);
  const name = line.slice(0, at);
  const labels = {};
  if (line[at] === "{") {
    at += 1;
    while (line[at] !== "}") {
      const equals = line.indexOf("=", at);
      const key = line.slice(at, equals);
      let value = "";
      for (at = equals + 2; line[at] !== '"'; at += 1) {
        if (line[at] === "\\") {
          at += 1;
          value += line[at] === "n" ? "\n" : line[at];
        } else value += line[at];
      }
      labels[key] = value;
      at += line[at + 1] === "," ? 2 : 1;
    }
    at += 1;
  }
  return { name, labels, value: number(line.slice(at + 1).split(" ")[0]) };
}

const number = (text) => ({ "+Inf": Infinity, "-Inf": -Infinity, inf: Infinity, "-inf": -Infinity })[text] ?? Number(text);

/// What the last answer said.
let now = new Map();
const all = (name) => now.get("flexihash_" + name) || [];
const fits = (labels, wanted) => Object.entries(wanted).every(([key, value]) => labels[key] === value);
function sample(name, wanted = {}) {
  return all(name).find(({ labels }) => fits(labels, wanted) && Object.keys(labels).length === Object.keys(wanted).length);
}

/// A name with its labels, as the metrics write them: what a shown number says it is.
function written({ name, labels }) {
  const escape = (value) => value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
  const pairs = Object.entries(labels).map(([key, value]) => `${key}="${escape(value)}"`);
  return pairs.length ? `${name}{${pairs.join(",")}}` : name;
}

// ---- numbers for people ----

const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 2 });
const fixed = (digits) => (value) => value.toFixed(digits);
const four = fixed(4);
const three = fixed(3);
const whole = (value) => (value < 1e9 ? grouped.format(value) : compact.format(value));
const rate = (value) => (value < 10 ? fixed(1)(value) : grouped.format(value));
const share = (value) => (value === 0 ? "0 %" : value < 0.001 ? "< 0.1 %" : (100 * value).toFixed(value < 0.1 ? 2 : 1) + " %");
const small = (value) => (value === 0 ? "0" : Math.abs(value) < 1e-3 || Math.abs(value) >= 1e5 ? value.toExponential(2) : Number(value.toPrecision(4)).toString());
function ago(seconds) {
  if (seconds < 1) return "now";
  if (seconds < 100) return Math.round(seconds) + " s ago";
  if (seconds < 6000) return Math.round(seconds / 60) + " min ago";
  return (seconds / 3600).toFixed(1) + " h ago";
}
const clock = (unix) => new Date(1000 * unix).toLocaleTimeString("en-GB");

/// A cell or definition that shows a metric: the text for people, the number and its name for whoever reads closely.
function show(element, found, format) {
  const text = format(found.value);
  if (element.textContent !== text) element.textContent = text;
  element.dataset.metric = written(found);
  element.dataset.value = String(found.value);
  element.title = String(found.value);
  return element;
}

// ---- tiles ----

const OVER = { over: "window" };
const TILES = [
  { name: "Records", of: () => sample("records_total"), format: whole, note: () => (speed === null ? "" : rate(speed) + "/s") },
  { name: "Examples", of: () => sample("model_examples"), format: whole, note: () => "in its life" },
  { name: "Window loss", of: () => sample("loss", OVER), format: four, note: () => beside("loss", four) },
  { name: "Window AUC", of: () => sample("auc", OVER), format: four, note: () => beside("auc", four) },
  { name: "Window entropy", of: () => sample("normalized_entropy", OVER), format: four, note: () => beside("normalized_entropy", four) },
  { name: "Window calibration", of: () => sample("calibration_ratio", OVER), format: three, note: () => beside("calibration_ratio", three) },
  { name: "Bad records", of: worstFirst, format: whole, note: () => "" },
  { name: "Last checkpoint", of: () => sample("last_checkpoint_age_seconds"), format: ago, note: generation },
  { name: "Last commit", of: () => sample("last_commit_timestamp_seconds"), format: clock, note: () => whole(value("commits_total")) + " commits" },
  { name: "Partitions", of: () => sample("partitions"), format: whole, note: () => whole(value("brokers_up")) + " brokers up" },
];

const value = (name, wanted = {}) => sample(name, wanted)?.value ?? 0;
const sum = (name) => all(name).reduce((total, { value }) => total + value, 0);

function beside(name, format) {
  const life = sample(name, { over: "life" });
  return life ? "life " + format(life.value) : "";
}

function generation() {
  const found = sample("generation");
  return found ? (found.value ? "generation " + found.value : "none yet") : "";
}

/// All bad records together are a sum, not a metric: shown under a name that says so.
function worstFirst() {
  return { name: "sum:flexihash_dead_letters_total", labels: {}, value: sum("dead_letters_total") };
}

function drawTiles() {
  const list = $("tiles");
  for (const [index, tile] of TILES.entries()) {
    let box = tile.box;
    const found = tile.of();
    if (!found) {
      box?.remove();
      tile.box = null;
      continue;
    }
    if (!box) {
      box = tile.box = make("div", {}, make("dt", {}, tile.name), make("dd"), make("dd"));
      const next = TILES.slice(index + 1).find((other) => other.box);
      list.insertBefore(box, next ? next.box : null);
    }
    show(box.children[1], found, tile.format);
    box.children[2].textContent = tile.note();
    box.children[1].classList.toggle("bad", tile.of === worstFirst && found.value > 0);
  }
}

// ---- the past ----

const KEPT = 6000;
let columns = [];
let past = []; // samples as the server sent them
let speed = null;

function remember(history) {
  columns = history.columns;
  past.push(...history.samples);
  // Of what is too much, the older half is thinned.
  if (past.length > KEPT) past = past.filter((_, index) => index >= past.length / 2 || index % 2 === 0);
}

const column = (name, samples) => samples.map((one) => one[columns.indexOf(name)]);
const lastTime = () => (past.length ? past[past.length - 1][columns.indexOf("time")] : 0);

/// Records a second between samples; over five seconds at least, for batches come in lumps.
function rates(samples) {
  const [times, records] = [column("time", samples), column("records", samples)];
  let from = 0;
  return times.map((time, index) => {
    while (from < index - 1 && time - times[from + 1] >= 5) from += 1;
    return index === 0 || time <= times[from] ? null : Math.max(0, records[index] - records[from]) / (time - times[from]);
  });
}

function shown() {
  const seconds = Number(document.querySelector("#range :checked").value);
  const first = seconds ? lastTime() - seconds : 0;
  return past.filter((one) => one[columns.indexOf("time")] >= first);
}

// ---- charts ----

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const HEIGHT = 190;

class Chart {
  constructor(name, title, lines, options) {
    this.card = document.querySelector(`[data-chart="${name}"]`);
    this.lines = lines;
    this.options = options;
    this.note = make("span", { class: "quiet" });
    this.box = make("div", { class: "chart", role: "img", "aria-label": title });
    this.wait = make("div", { class: "wait" }, "no figures yet");
    this.rows = make("div", { class: "scroll", tabindex: "0" });
    this.table = make("details", {}, make("summary", {}, "As a table"), this.rows);
    this.title = title;
    this.table.addEventListener("toggle", () => this.fillTable());
    this.box.append(this.wait);
    this.card.append(make("div", { class: "head" }, make("h2", {}, title), this.note), this.box, this.table);
    new ResizeObserver(() => this.plot?.setSize({ width: this.width(), height: HEIGHT })).observe(this.box);
  }

  width() {
    return Math.max(200, Math.floor(this.box.clientWidth));
  }

  rebuild() {
    this.plot?.destroy();
    this.plot = null;
    if (this.data) this.draw(this.data, this.note.textContent);
  }

  /// `data`: x, then a list for each line.
  draw(data, note) {
    const some = data.slice(1).some((list) => list.some((value) => value !== null && value !== undefined));
    this.card.hidden = !some && this.options.optional === true;
    this.note.textContent = note;
    if (!some) return;
    this.data = data;
    this.box.setAttribute("aria-label", `${this.title}: ${note}`);
    if (this.plot) this.plot.setData(data);
    else {
      this.wait.remove();
      this.plot = new uPlot(this.settings(), data, this.box);
    }
    // Without a cursor the legend shows the newest values.
    if (!(this.plot.cursor.left >= 0)) this.plot.setLegend({ idx: this.options.time ? data[0].length - 1 : null });
    if (this.table.open) this.fillTable();
  }

  settings() {
    const { time, values, scales } = this.options;
    const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    const line = ({ name, ink, ...more }) => ({
      label: name, stroke: colour(ink), width: 2, spanGaps: true, points: { show: false },
      value: (_, value) => (value === null || value === undefined ? "–" : values(value)), ...more,
    });
    return {
      width: this.width(), height: HEIGHT, padding: [8, time ? 28 : 10, 0, 0],
      series: [time ? { label: "time", value: (_, at) => (at ? clock(at) : "–") } : { label: this.options.x, value: (_, at) => (at === null ? "–" : values(at)) }, ...this.lines.map(line)],
      axes: [
        { ...axis, space: 70, ...(time ? { values: "{HH}:{mm}:{ss}", size: 30 } : { size: 30 }) },
        { ...axis, size: 54, space: 34, values: (_, ticks) => ticks.map((tick) => this.options.ticks(tick)) },
      ].map((settings, index) => (index === 0 && time ? { ...settings, values: timeTicks } : settings)),
      scales: scales || {},
      cursor: { drag: { x: Boolean(time), y: false }, points: { size: 7 } },
    };
  }

  fillTable() {
    if (!this.table.open || !this.data) return;
    const head = [this.options.time ? "time" : this.options.x, ...this.lines.map(({ name }) => name)];
    const length = this.data[0].length;
    const step = Math.max(1, Math.ceil(length / 40));
    const rows = [];
    for (let at = length - 1; at >= 0; at -= step) rows.push(this.data.map((list) => list[at]));
    const text = (value, index) =>
      value === null || value === undefined ? "–" : index === 0 && this.options.time ? clock(value) : this.options.values(value);
    this.rows.replaceChildren(table(head, rows.map((row) => row.map(text)), { numbers: true, caption: step > 1 ? `every ${step}th of ${length} points` : "" }));
  }
}

function timeTicks(plot, ticks) {
  const seconds = ticks.length > 1 && ticks[1] - ticks[0] < 60;
  return ticks.map((tick) => clock(tick).slice(0, seconds ? 8 : 5));
}

function table(head, rows, { numbers = false, caption = "", classes = "" } = {}) {
  const cell = (tag, value, index) => {
    if (value instanceof Node) return value;
    const attributes = numbers && index > 0 ? { class: "n" } : {};
    return make(tag, tag === "th" ? { scope: "col", ...attributes } : attributes, value);
  };
  const element = make("table", { class: classes });
  if (caption) element.append(make("caption", {}, caption));
  element.append(make("thead", {}, make("tr", {}, ...head.map((value, index) => cell("th", value, index)))));
  element.append(make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((value, index) => cell("td", value, index))))));
  return element;
}

const near = (value) => Number(value.toPrecision(4)).toString();
/// Fits the curves but for their first few points, which swing most and say least.
function fit(plot) {
  const skipped = Math.min(plot.data[0].length - 1, Math.max(3, Math.floor(plot.data[0].length / 50)));
  const values = plot.data.slice(1).flatMap((list) => list.slice(skipped)).filter((value) => value !== null && value !== undefined);
  if (!values.length) return [0, 1];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const room = Math.max((high - low) * 0.12, 1e-4);
  return [low - room, high + room];
}
const tight = { y: { range: fit } };
const two = (name) => [{ name: "whole life", ink: "--faint", width: 1.5 }, { name: "window", ink: name }];
const charts = {};

function makeCharts() {
  charts.loss = new Chart("loss", "Progressive loss", two("--a"), { time: true, values: four, ticks: near, scales: tight });
  charts.rate = new Chart("rate", "Records a second", [{ name: "records/s", ink: "--c", fill: colour("--bar") }], {
    time: true, values: rate, ticks: (tick) => compact.format(tick), scales: { y: { range: (_, low, high) => [0, Math.max(high * 1.1, 1)] } },
  });
  charts.auc = new Chart("auc", "AUC", two("--a"), { time: true, values: four, ticks: near, scales: tight, optional: true });
  charts.entropy = new Chart("entropy", "Normalized entropy", two("--b"), { time: true, values: four, ticks: near, scales: tight, optional: true });
  const dots = (ink) => ({ points: { show: true, size: 7, fill: colour(ink), stroke: colour(ink) } });
  charts.calibration = new Chart(
    "calibration", "Calibration",
    [{ name: "perfect", ink: "--faint", dash: [5, 5], width: 1 }, { name: "whole life", ink: "--faint", width: 1.5 }, { name: "window", ink: "--a", ...dots("--a") }],
    { x: "mean prediction", values: four, ticks: near, optional: true, scales: { x: { time: false, range: () => unit() }, y: { range: () => unit() } } },
  );
}

/// The calibration's axes: from 0 to a little beyond the largest mean.
let reach = 1;
const unit = () => [0, reach];

function drawCharts() {
  const samples = shown();
  const times = column("time", samples);
  const both = (name) => [times, column(name + "_life", samples), column(name + "_window", samples)];
  const last = (list) => list.findLast((value) => value !== null && value !== undefined);
  const said = (data) => (last(data[2]) === undefined ? "" : "window " + four(last(data[2])));
  const means = all("task_loss").length ? "mean of the tasks, " : "";
  for (const [name, of] of [["loss", "loss"], ["auc", "auc"], ["entropy", "normalized_entropy"]]) {
    const data = both(of);
    charts[name].draw(data, said(data) && means + said(data));
  }
  const speeds = rates(samples);
  const told = last(speeds);
  speed = samples.length > 1 && told !== undefined ? told : null;
  charts.rate.draw([times, speeds], speed === null ? "" : rate(speed) + "/s");
  drawCalibration();
}

function drawCalibration() {
  const tasks = [...new Set(all("calibration_weight").map(({ labels }) => labels.task))];
  const task = tasks[0];
  const curve = (over) => {
    const of = (name) => new Map(all(name).filter(({ labels }) => labels.over === over && labels.task === task).map(({ labels, value }) => [labels.bin, value]));
    const [predictions, labels] = [of("calibration_prediction_mean"), of("calibration_label_mean")];
    const points = [...predictions].map(([bin, prediction]) => [prediction, labels.get(bin)]).sort((a, b) => a[0] - b[0]);
    return [points.map((point) => point[0]), points.map((point) => point[1])];
  };
  const [life, window] = [curve("life"), curve("window")];
  reach = Math.min(1, 1.08 * Math.max(0.001, ...life[0], ...life[1], ...window[0], ...window[1]));
  const data = uPlot.join([[[0, reach], [0, reach]], life, window]);
  const ratio = sample("calibration_ratio", task === undefined ? OVER : { ...OVER, task });
  const of = task === undefined ? "" : `task ${task}, `;
  charts.calibration.draw(life[0].length ? data : [[], [], [], []], of + (ratio ? `mean prediction / mean label ${three(ratio.value)}` : "prediction against label"));
}

// ---- tables of what /metrics says ----

/// Fills a card; hidden where there is nothing.
function card(id, title, note, content) {
  const element = $(id);
  element.hidden = content === null;
  if (content === null) return;
  const text = title + "\0" + note;
  if (element.dataset.head !== text) {
    element.dataset.head = text;
    element.replaceChildren(make("div", { class: "head" }, make("h2", {}, title), make("span", { class: "quiet" }, note)), make("div", { class: "scroll", tabindex: "0" }));
  }
  element.lastChild.replaceChildren(content);
}

function bar(part, against = false) {
  const cell = make("td", { class: "bar" }, make("i", against ? { class: "against" } : {}));
  cell.firstChild.style.width = 100 * Math.max(0, Math.min(1, part)) + "%";
  return cell;
}

const metric = (found, format) => (found ? show(make("td", { class: "n" }), found, format) : make("td", { class: "n" }, "–"));

function drawTasks() {
  const names = all("task_examples").map(({ labels }) => labels.task);
  const row = (task) => {
    const of = (name) => sample(name, { over: "window", task });
    return [task, metric(sample("task_examples", { task }), whole), metric(of("task_loss"), four), metric(of("auc"), four), metric(of("normalized_entropy"), four), metric(of("calibration_ratio"), three)];
  };
  const head = ["task", "examples", "loss", "AUC", "entropy", "calibration"];
  card("tasks", "Tasks", "over the window", names.length ? table(head, names.map(row), { numbers: true }) : null);
}

function drawLag() {
  const lags = [...all("lag_records")].sort((a, b) => a.labels.topic.localeCompare(b.labels.topic) || a.labels.partition - b.labels.partition);
  const most = Math.max(1, ...lags.map(({ value }) => value));
  const rows = lags.map((found) => [found.labels.topic, make("td", { class: "n" }, found.labels.partition), metric(found, whole), bar(found.value / most)]);
  card("lag", "Lag by partition", "records behind the last commit", lags.length ? table(["topic", "partition", "records", ""], rows, { numbers: true }) : null);
}

function drawTables() {
  const rows = all("table_rows").map((rows) => {
    const touched = sample("table_rows_touched", rows.labels);
    const fill = touched && rows.value ? touched.value / rows.value : 0;
    return [rows.labels.table ?? "all features", metric(touched, whole), metric(rows, whole), make("td", { class: "n" }, share(fill)), bar(fill)];
  });
  card("tables", "Table fill", "rows that were ever changed", rows.length ? table(["table", "touched", "of", "fill", ""], rows, { numbers: true }) : null);
}

function drawNorms() {
  const tables = [...new Set(all("row_norm_share").map(({ labels }) => labels.table))];
  const bins = all("row_norm_share").filter(({ labels }) => labels.table === tables[0]);
  const most = Math.max(1e-9, ...bins.map(({ value }) => value));
  const end = (index) => (bins[index + 1] ? "up to " + bins[index + 1].labels.norm : "and above");
  const columns = bins.map((found) => {
    const column = make("div", {}, make("span", {}, found.value ? share(found.value).replace(" %", "") : ""), make("i"), make("small", {}, found.labels.norm.replace("0.", ".")));
    column.children[1].style.height = (130 * found.value) / most + "px";
    return column;
  });
  const of = tables[0] === undefined ? "" : `table ${tables[0]}, `;
  const content = make("div", {});
  if (bins.length) {
    const rows = bins.map((found, index) => [`${found.labels.norm} ${end(index)}`, metric(found, share)]);
    const details = make("details", {}, make("summary", {}, "As a table"), table(["norm", "share"], rows, { numbers: true }));
    details.open = $("norms").querySelector("details")?.open === true;
    content.append(make("div", { class: "columns", role: "img", "aria-label": "Shares of rows by norm; below as a table" }, ...columns), details);
  }
  card("norms", "Norms of rows", of + "% of a sample of touched rows, from each norm up to the next", bins.length ? content : null);
}

// ---- bad records ----

const KINDS = { length: "too long", parse: "no record", feature: "bad feature", learner: "refused" };
let lettersKnown = null;

async function drawLetters() {
  const total = sum("dead_letters_total");
  const reasons = make("dl", { class: "reasons" });
  for (const found of [...all("dead_letters_total")].sort((a, b) => b.value - a.value)) {
    reasons.append(make("div", {}, show(make("dd"), found, whole), make("dt", {}, `${KINDS[found.labels.reason] ?? "other"} (${found.labels.reason})`)));
  }
  $("letters-reasons").replaceChildren(reasons);
  if (total === lettersKnown) return;
  const letters = await (await ask("/dead-letters")).json();
  lettersKnown = total;
  const row = ({ time, kind, reason, source, line, length, record }) => [
    make("td", { class: "k" }, clock(time)), make("td", { class: "k" }, kind), make("td", { class: "k" }, `${source === "-" ? "standard input" : source}, line ${grouped.format(line)}`), reason,
    make("td", {}, record === undefined ? "not shown to other machines" : make("code", {}, record + (length > new TextEncoder().encode(record).length ? "…" : ""))),
  ];
  const head = ["when", "kind", "where", "why", "the record, or its head"];
  const box = make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Bad records, newest first" });
  box.append(table(head, letters.map(row), { classes: "letters" }));
  $("letters-newest").replaceChildren(letters.length ? box : make("p", { class: "quiet" }, "None since this process began."));
}

// ---- insight: collisions, names, schema ----

let insightAt = 0;

async function drawInsight() {
  if (!offers.insight || Date.now() - insightAt < 5000) return;
  insightAt = Date.now();
  const answer = await ask("/insight");
  if (!answer.ok) {
    offers.insight = false;
    return;
  }
  const { collisions, names, schema } = await answer.json();
  drawCollisions(collisions);
  drawNames(names);
  drawSchema(schema);
}

function drawCollisions(told) {
  if (!told) return card("collisions", "Collisions", "", null);
  const fields = told.fields.slice(0, 50);
  const most = Math.max(1e-9, ...fields.map(({ rate }) => rate));
  const rows = fields.map(({ field, lookups, rate: part }) => [field || "all others", make("td", { class: "n" }, whole(lookups)), make("td", { class: "n" }, share(part)), bar(part / most)]);
  const note = `${share(told.rate)} of all lookups; ${share(told.rate_doubled)} with twice the rows; some ${compact.format(told.distinct_keys)} features`;
  card("collisions", "Collisions by field", note, table(["field", "lookups", "share", ""], rows, { numbers: true }));
}

function drawNames(told) {
  if (!told || !told.top.length) return card("names", "Largest weights", "", null);
  const most = Math.max(1e-9, ...told.top.map(({ weight }) => Math.abs(weight)));
  const rows = told.top.slice(0, 50).map(({ feature, count, weight }) => [feature, make("td", { class: "n" }, whole(count)), make("td", { class: "n" }, small(weight)), bar(Math.abs(weight) / most, weight < 0)]);
  card("names", "Largest weights", "by name", table(["feature", "records", "weight", ""], rows, { numbers: true }));
}

function drawSchema(told) {
  if (!told) return card("schema", "Schema", "", null);
  const { changes } = told;
  const note = `${changes.new} new keys, ${changes.vanished} vanished, ${changes.type} of another type`;
  const content = make("div");
  if (told.latest.length) {
    const rows = told.latest.slice(0, 20).map(({ change, key, was, is, at_record: at }) => [key, change, was, is, make("td", { class: "n" }, whole(at))]);
    content.append(table(["key", "change", "was", "is", "at record"], rows));
  }
  const seen = (window, pick) => make("td", { class: "n" }, window ? share(pick(window)) : "–");
  const rows = told.keys.slice(0, 100).map(({ key, now: current, before }) => [key, seen(current ?? before, (w) => w.present), seen(current ?? before, (w) => w.null)]);
  if (rows.length) content.append(table(["key", "present", "null"], rows, { numbers: true }));
  card("schema", "Schema", note, content);
}

// ---- a record to try ----

function offerTry() {
  $("try-explain").hidden = !offers.explain;
  $("try-predict").hidden = !offers.predict;
  $("try").hidden = !(offers.explain || offers.predict);
}

async function tryRecord(kind) {
  const answerBox = $("try-answer");
  const say = (text) => answerBox.replaceChildren(make("p", { class: "bad" }, text));
  try {
    const answer = await ask("/" + kind, { method: "POST", headers: { "Content-Type": "application/json" }, body: $("try-text").value });
    const text = await answer.text();
    if (answer.status === 404) {
      offers[kind] = false;
      offerTry();
    } else if (!answer.ok) say(reasonIn(text) || `The server said ${answer.status}.`);
    else answerBox.replaceChildren(...(kind === "explain" ? explained(JSON.parse(text)) : [make("code", {}, text)]));
  } catch (error) {
    if (error instanceof Refused) refused();
    else say("No answer: " + error.message);
  }
}

function reasonIn(text) {
  try {
    const told = JSON.parse(text);
    return told.reason || told.error || text;
  } catch {
    return text;
  }
}

const UNITS = { "log-odds": "log-odds", "log-mean": "log of the mean", prediction: "units of the prediction" };

function explained({ unit: measure, features, explained: tried, outputs }) {
  return outputs.flatMap(({ task, item, prediction, score, contributions }) => {
    const most = Math.max(1e-12, ...contributions.map(({ contribution }) => Math.abs(contribution)));
    const rows = contributions.map(({ feature, value, contribution }) => [feature, make("td", { class: "n" }, small(value)), make("td", { class: "n" }, (contribution > 0 ? "+" : "") + small(contribution)), bar(Math.abs(contribution) / most, contribution < 0)]);
    const name = [task, item === undefined ? undefined : "item " + item].filter((part) => part !== undefined).join(", ");
    const line = `${name ? name + ": " : ""}prediction ${small(prediction)}, score ${small(score)}`;
    const caption = `contributions in ${UNITS[measure] ?? measure}; ${tried} of ${features} features left out in turn`;
    return [make("h2", {}, line), make("div", { class: "scroll", tabindex: "0" }, table(["feature", "value", "contribution", ""], rows, { numbers: true, caption }))];
  });
}

// ---- going on ----

let records = { count: -1, since: 0 };

function status(kind, text) {
  const pill = $("status");
  if (pill.textContent !== text) pill.textContent = text;
  pill.className = "pill " + kind;
}

function sayStatus() {
  const count = value("records_total");
  if (count !== records.count) records = { count, since: Date.now() };
  if (Date.now() - records.since < 5000) status("live", "learning");
  else status("idle", "waiting for records");
}

async function look() {
  const [answer, history] = await Promise.all([ask("/metrics"), ask("/history?since=" + lastTime())]);
  now = parseMetrics(await answer.text());
  remember(await history.json());
  $("version").textContent = all("build_info")[0]?.labels.version ?? "";
  drawCharts(); // before the tiles: it finds the speed
  drawTiles();
  drawTasks();
  drawLag();
  drawTables();
  drawNorms();
  sayStatus();
  await Promise.all([drawLetters(), drawInsight()]);
  document.documentElement.dataset.looks = String(Number(document.documentElement.dataset.looks || 0) + 1);
}

function refused() {
  token = null;
  $("main").hidden = true;
  $("token").hidden = false;
  $("token-text").focus();
}

async function goOn() {
  if (offers.token && token === null) refused();
  else if (!document.hidden) {
    try {
      await look();
      $("main").hidden = false;
      $("token").hidden = true;
    } catch (error) {
      if (error instanceof Refused) {
        $("token-wrong").textContent = "That is not it.";
        refused();
      } else if (error instanceof TypeError && !(error.message || "").includes("fetch")) throw error;
      else status("gone", "no answer: the run has ended, or cannot be reached");
    }
  }
  setTimeout(goOn, 1000);
}

async function begin() {
  offers = await (await fetch("/page/offers.json")).json();
  makeCharts();
  offerTry();
  $("range").addEventListener("change", drawCharts);
  $("try-form").addEventListener("submit", (event) => {
    event.preventDefault();
    tryRecord(event.submitter?.value || (offers.explain ? "explain" : "predict"));
  });
  $("token").addEventListener("submit", (event) => {
    event.preventDefault();
    token = $("token-text").value;
    $("token-text").value = "";
    $("token-wrong").textContent = "";
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => Object.values(charts).forEach((chart) => chart.rebuild()));
  goOn();
}

begin();

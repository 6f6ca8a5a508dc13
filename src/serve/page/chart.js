"use strict";
// Figures over time, and predictions beside labels, drawn by uPlot; each chart is a table too.

// ---- the past ----

const KEPT = 6000;
let columns = [];
let past = []; // samples as the server sent them
let speed = null;

/// The tasks whose past the server keeps, and which of them is shown; none: the mean of all.
let tasks = [];
let chosen = null;

function remember(history) {
  columns = history.columns;
  tasks = history.tasks ?? [];
  const from = lastTime();
  past.push(...history.samples.filter((one) => one[columns.indexOf("time")] > from));
  // Of what is too much, the older half is thinned.
  if (past.length > KEPT) past = past.filter((_, index) => index >= past.length / 2 || index % 2 === 0);
}

function choose(task) {
  chosen = task;
  past = [];
}

/// Of one task, or of all.
const ofTask = (labels) => (chosen === null ? labels : { ...labels, task: chosen });

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
  const room = Math.max((high - low) * 0.12, Math.abs(high) * 0.005, 1e-4);
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
  const means = chosen !== null ? `task ${chosen}, ` : all("task_loss").length ? "mean of the tasks, " : "";
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
  const named = [...new Set(all("calibration_weight").map(({ labels }) => labels.task))];
  const task = chosen ?? named[0];
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

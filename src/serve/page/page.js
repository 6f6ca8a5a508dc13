"use strict";
// The live page. It asks the server that sent it, once a second, for /metrics and what /history has that is new, and shows both.

// ---- tiles ----

const OVER = { over: "window" };
const TILES = [
  { name: "Records", of: () => sample("records_total"), format: whole, note: () => (speed === null ? "" : rate(speed) + "/s") },
  { name: "Examples", of: () => (chosen === null ? sample("model_examples") : sample("task_examples", ofTask({}))), format: whole, note: () => "in its life" },
  { name: "Window loss", of: () => sample(lossName(), ofTask(OVER)), format: four, note: () => beside(lossName(), four) },
  { name: "Window AUC", of: () => sample("auc", ofTask(OVER)), format: four, note: () => beside("auc", four) },
  { name: "Window entropy", of: () => sample("normalized_entropy", ofTask(OVER)), format: four, note: () => beside("normalized_entropy", four) },
  { name: "Window calibration", of: () => sample("calibration_ratio", ofTask(OVER)), format: three, note: () => beside("calibration_ratio", three) },
  { name: "Bad records", of: worstFirst, format: whole, note: () => "" },
  { name: "Last checkpoint", of: () => sample("last_checkpoint_age_seconds"), format: ago, note: generation },
  { name: "Last commit", of: () => sample("last_commit_timestamp_seconds"), format: clock, note: () => whole(value("commits_total")) + " commits" },
  { name: "Partitions", of: () => sample("partitions"), format: whole, note: () => whole(value("brokers_up")) + " brokers up" },
];

const lossName = () => (chosen === null ? "loss" : "task_loss");
const value = (name, wanted = {}) => sample(name, wanted)?.value ?? 0;
const sum = (name) => all(name).reduce((total, { value }) => total + value, 0);

function beside(name, format) {
  const life = sample(name, ofTask({ over: "life" }));
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

// ---- which task ----

/// A choice where there are several; in the order of the server's, under whatever name they have.
function drawChoice() {
  const list = $("task-choice");
  $("task").hidden = tasks.length < 2;
  const known = [...list.options].slice(1).map((option) => option.textContent);
  if (known.length === tasks.length && known.every((name, index) => name === tasks[index])) return;
  list.replaceChildren(make("option", { value: "" }, "mean of all"), ...tasks.map((task, index) => make("option", { value: index }, task)));
  list.value = chosen === null ? "" : String(tasks.indexOf(chosen));
}

// ---- what the model is ----

let modelAt = 0;

/// Options and counts, while somebody looks at them.
async function drawModel() {
  $("model").hidden = !offers.model;
  if (!offers.model || !$("model").open || Date.now() - modelAt < 5000) return;
  modelAt = Date.now();
  const answer = await ask("/model");
  if (!answer.ok) {
    $("model-told").replaceChildren(make("p", { class: "quiet" }, reasonIn(await answer.text())));
    return;
  }
  const { config, summary, ...about } = await answer.json();
  const rows = (found) => Object.entries(found).map(([key, value]) => [key, value !== null && typeof value === "object" ? make("td", {}, make("code", {}, JSON.stringify(value))) : String(value)]);
  const part = (caption, found) => make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, table(["", ""], rows(found), { caption }));
  $("model-told").replaceChildren(part("options", config), part("counts and figures", { ...about, ...summary }));
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
  const asked = chosen;
  const query = `since=${lastTime()}` + (asked === null ? "" : "&task=" + encodeURIComponent(asked));
  const [answer, history] = await Promise.all([ask("/metrics"), ask("/history?" + query)]);
  if (!answer.ok || !history.ok) throw new Gone(`${answer.status}, ${history.status}`);
  now = parseMetrics(await answer.text());
  const told = await history.json();
  if (asked !== chosen) return; // another task was chosen meanwhile
  remember(told);
  drawChoice();
  $("version").textContent = all("build_info")[0]?.labels.version ?? "";
  drawCharts(); // before the tiles: it finds the speed
  drawTiles();
  drawTasks();
  drawLag();
  drawTables();
  drawNorms();
  sayStatus();
  await Promise.all([drawLetters(), drawInsight(), drawModel()]);
  document.documentElement.dataset.looks = String(Number(document.documentElement.dataset.looks || 0) + 1);
}

function refused() {
  token = null;
  $("main").hidden = true;
  if (!$("token").hidden) return;
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
      } else if (error instanceof Gone) status("gone", "no answer: the run has ended, or cannot be reached");
      else console.error(error); // a mistake of the page's: the next look may do without it
    }
  }
  setTimeout(goOn, 1000);
}

async function begin() {
  offers = await (await fetch("/page/offers.json")).json();
  makeCharts();
  offerTry();
  $("range").addEventListener("change", drawCharts);
  $("task-choice").addEventListener("change", () => {
    const { value: place } = $("task-choice");
    choose(place === "" ? null : tasks[place]);
  });
  $("model").addEventListener("toggle", () => (modelAt = 0));
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

"use strict";
// What the page's other files stand on: elements, requests, the metrics' text, and numbers for people. Every text, wherever it
// comes from, is put in as text.

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

let offers = { token: false, predict: false, explain: false, insight: false, model: false };
let token = null; // in memory only

async function ask(path, options = {}) {
  const headers = { ...(options.headers || {}) };
  if (token !== null) headers.Authorization = "Bearer " + token;
  const all = { ...options, headers, cache: "no-store", credentials: "omit", redirect: "error" };
  const answer = await fetch(path, all).catch((error) => {
    throw new Gone(error.message);
  });
  if (answer.status === 401) throw new Refused();
  return answer;
}

class Refused extends Error {}
class Gone extends Error {}

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

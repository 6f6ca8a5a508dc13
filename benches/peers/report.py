#!/usr/bin/env python3
"""RESULTS.md and chart.svg beside this file, from what measure.py left in FOLDER.

    python3 report.py FOLDER

A ratio is the median over rounds of the peer's time / our time within the round: above 1 we are faster.
"""
import datetime, importlib.metadata, json, pathlib, platform, re, statistics, sys
from typing import NamedTuple, Optional

from chart import chart

HERE, FOLDER = pathlib.Path(__file__).parent, pathlib.Path(sys.argv[1])
# Records a second on the machine of which Fwumious Wabbit's figure is known: short pre-split text, one thread, AdaGrad.
FWUMIOUS, VW_BESIDE_IT = 1.4e6, 345_000
FM_GOAL = 800_000
PACKAGES = ["vowpalwabbit", "scikit-learn", "river", "torch", "flexi-hash-embedding", "numpy"]


class Row(NamedTuple):
    work: str
    beside: str
    peer: str
    ours: str
    ratio: float
    goal: Optional[float] = None

    def line(self):
        met = "" if self.goal is None else "met" if self.ratio >= self.goal else "**not met**"
        goal = "" if self.goal is None else f"≥ {self.goal:.3g}"
        return f"| {self.work} | {self.beside} | {goal} | {self.peer} | {self.ours} | {self.ratio:.2f} | {met} |"


def stage(name):
    path = FOLDER / f"{name}.json"
    if not path.exists():
        sys.exit(f"{path}: expected the figures of run.sh {name}, found no such file")
    return json.loads(path.read_text())


def ratio(peers, ours):
    return statistics.median(peer / mine for peer, mine in zip(peers, ours, strict=True))


def streams(figures):
    spent = {name: [run["seconds"] / run["records"] for run in runs] for name, runs in figures.items()}
    speed = {name: 1 / statistics.median(times) for name, times in spent.items()}
    loss = {name: runs[0]["loss"] for name, runs in figures.items()}
    shown = lambda name: f"{speed[name]:,.0f}/s, loss {loss[name]:.4f}"

    def beside(work, peer, mine="ours", goal=None, label=None):
        return Row(work, label or peer, shown(peer), shown(mine), ratio(spent[peer], spent[mine]), goal)

    scale = speed["Vowpal Wabbit --json"] / VW_BESIDE_IT
    flights = "flights, linear default, 2 cores"
    rows = [
        beside(flights, "Vowpal Wabbit --json", goal=5, label="Vowpal Wabbit `--json`, its 2 threads"),
        beside(flights, "Vowpal Wabbit text", goal=4, label="Vowpal Wabbit, its text, 2 threads"),
        beside("flights, linear default, **1 core**", "Vowpal Wabbit --json", "ours, 1 core",
               label="Vowpal Wabbit `--json`, its 2 threads"),
        Row(flights, "Fwumious Wabbit, short text, 1 thread: *published figure, scaled, not measured*",
            f"≈ {FWUMIOUS * scale:,.0f}/s", shown("ours"), speed["ours"] / FWUMIOUS / scale, 1.7e6 / FWUMIOUS),
        Row("12 strings, FM of 16, self-tuning, 1 core", "the goal", f"{FM_GOAL:,}/s", shown("ours, fm"),
            speed["ours, fm"] / FM_GOAL, 1),
        Row("12 strings, FM of 16, `--optimizer adagrad`, 1 core", "the goal", f"{FM_GOAL:,}/s",
            shown("ours, fm, adagrad"), speed["ours, fm, adagrad"] / FM_GOAL, 1),
        beside("flights, 2 cores, same bits", "ours, 1 core", goal=1.5, label="flexihash, everything on 1 core"),
        beside(flights, "scikit-learn", label="FeatureHasher + SGDClassifier.partial_fit"),
        Row(flights, "River, first 20,000 records", shown("River"), f"{speed['ours']:,.0f}/s, loss {loss['ours, slice']:.4f} there",
            ratio(spent["River"], spent["ours"])),
    ]
    if "ours, --learners 2" in spent:
        rows.insert(7, beside("flights, 2 cores, `--learners 2`", "ours, 1 core", "ours, --learners 2", 1.7,
                              "flexihash, everything on 1 core"))
    return rows


def recommenders(stage):
    figures = stage["figures"]
    spent = {name: [run["seconds"] / run["records"] for run in runs] for name, runs in figures.items()}
    shown = lambda name, loss: f"{1 / statistics.median(spent[name]):,.0f}/s, {loss} {figures[name][0]['loss']:.4f}"
    beside = lambda work, peer, mine, loss, goal=None: Row(
        work, peer, shown(peer, loss), shown(mine, loss), ratio(spent[peer], spent[mine]), goal)
    dot, many = "`dot-bias.toml`", f"`multitask-id.toml`, batches of {stage['batch']}"
    return [beside(f"{dot}, 2 cores", "River BiasedMF", "ours, dot-bias", "squared", 10),
            beside(f"{dot}, **1 core**", "River BiasedMF", "ours, dot-bias, 1 core", "squared"),
            beside(f"{many}, 2 cores", "torch, multitask, 1 thread", "ours, multitask-id", "logloss", 2),
            beside(f"{many}, 2 cores", "torch, multitask, 2 threads", "ours, multitask-id", "logloss", 2)]


def batches(figures):
    theirs = [{**one, **two} for one, two in zip(figures["torch, 1 thread"], figures["torch, 2 threads"], strict=True)]
    rows = []

    def beside(work, peer, their, my, goal=None):
        pairs = [[found[name] for found in runs] for name, runs in ((their, theirs), (my, figures["ours"]))]
        shown = [f"{statistics.median(times):.3f} ms" for times in pairs]
        rows.append(Row(work, peer, *shown, ratio(*pairs), goal))

    for threads, label in (("1", "1 thread"), ("2", "2 threads")):
        name = f"whole 128 threads {threads}"
        beside(f"dicts to vectors of 128, {label}", "flexi_hash_embedding on torch", name, name, 12)
    beside("its hashing, 1 thread, same hash", "FeatureHasher", "hash", "hash sklearn", 16)
    beside("its hashing, 1 thread, our keyed hash", "FeatureHasher", "hash", "hash native", 16)
    for dim, goal in ((8, 2.5), (16, 2.5), (64, 1.8), (128, 1.3)):
        name = f"embed {dim} threads 1"
        beside(f"gather and sum, dim {dim}, 1 thread", "EmbeddingBag", name, name, goal)
    for dim, goal in ((8, 15), (128, 12)):
        beside(f"SGD update, dim {dim}, 1 thread", "index_add_", f"index_add_ {dim} threads 1", f"sgd_backward {dim}", goal)
    return rows


def limits(figures):
    rows = []
    uses = {"cached": "rows in the cache", "spread": "rows from all of 512 MiB"}
    isas = {name.split()[2] for name in figures["4 KiB"][0] if name.startswith("gather_sum 8 ")}
    isa = next(isa for isa in ("avx512", "avx2", "scalar") if isa in isas)
    for use, where in uses.items():
        for pages, runs in figures.items():
            for kernel, limit, vectors in (("gather_sum", "reads", "a vector a record written"),
                                           ("scatter_add", "reads and writes", "a vector a record read")):
                for dim in (8, 16, 64, 128, 256):
                    name = lambda who: [run[f"{kernel} {dim} {who} {use}"] for run in runs]
                    count = runs[0]["features" if use == "cached" else f"spread features {dim}"]
                    shown = lambda who: f"{statistics.median(name(who)) * 1e6 / count:.1f} ns a row"
                    work = f"{kernel}, dim {dim}, {where}, {pages} pages"
                    rows.append(Row(work, f"a loop that only {limit}",
                                    shown("memory"), shown(isa), ratio(name("memory"), name(isa)), 0.8))
                    rows.append(Row(work, f"the same, {vectors}",
                                    shown("memory+vectors"), shown(isa), ratio(name("memory+vectors"), name(isa)), None))
    return rows


def machine():
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    versions = [f"{name} {importlib.metadata.version(name)}" for name in PACKAGES]
    return (f"{cpu.group(1) if cpu else platform.processor()}, two cores, {datetime.date.today()}; "
            f"Python {platform.python_version()}, {', '.join(versions)}")


def main():
    optional = lambda name: [name] if (FOLDER / f"{name}.json").exists() else []
    names = ["times", *optional("movielens"), "embedding", *optional("kernels")]
    found = {name: stage(name) for name in names}
    table = lambda rows: ["| work | beside | goal | peer | ours | ratio | |", "|---|---|---|---|---|---|---|",
                          *[row.line() for row in rows], ""]
    parts = [streams(found["times"]["figures"]), batches(found["embedding"]["figures"])]
    unmeasured = lambda name: [f"Not measured in this run: `run.sh {name}`.", ""]
    if "movielens" in found:
        parts.append(recommenders(found["movielens"]))
    models = table(parts[2]) if "movielens" in found else unmeasured("movielens")
    kernels = table(limits(found["kernels"]["figures"])) if "kernels" in found else unmeasured("kernels")
    start = statistics.median(run["start"] for run in found["times"]["figures"]["Vowpal Wabbit --json"])
    loads = "; ".join(f"{name} (flexihash {stage['commit']}): {stage['load']:.2f} before, the {len(stage['others'])} quietest of {stage['rounds']} rounds, others "
                      f"took {max(stage['others']):.0%} of the processor time at most" for name, stage in found.items())
    lines = [
        "# Beside the peers", "",
        "Written by `benches/peers/run.sh`, which sets up the peers, compares losses first, then times all in turn.", "",
        f"{machine()}.", "",
        f"Medians over rounds. Load: {loads}. A ratio above 1: we are faster. Left out of the "
        f"peers' times: the imports of Python's learners, and {start:.2f} s that Vowpal Wabbit takes to start. Fwumious Wabbit is "
        f"not on PyPI: {FWUMIOUS:,.0f}/s were published beside {VW_BESIDE_IT:,}/s of Vowpal Wabbit `--json`, and are scaled by what "
        "the latter reaches here.", "",
        "![ratios](chart.svg)", "", "## Streams", "", *table(parts[0]),
        "## Recommenders on MovieLens-100k", "",
        "The configs of `examples/models`; torch learns the first 20,000 records. `examples/models/movielens.py` prints how well they predict.", "", *models,
        "## Dicts to vectors and back", "",
        "One batch of 4,096 dicts, 20,636 features, again and again; table of 2^20 rows.", "", *table(parts[1]),
        "## Kernels beside the memory's own limit", "",
        "The limit is the fastest of eight loops over the same rows that fetch every line of the row 4 to 48 rows ahead, into the first- or the second-level cache; one thread. A gather must also write a vector for each record and a scatter read one: five rows have one here.", "", *kernels,
    ]
    (HERE / "RESULTS.md").write_text("\n".join(lines).rstrip() + "\n")
    (HERE / "chart.svg").write_text(chart([row for part in parts for row in part], machine()))
    print("\n".join(lines))


main()

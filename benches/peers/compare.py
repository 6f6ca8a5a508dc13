#!/usr/bin/env python3
"""Losses first, then times in turn; writes RESULTS.md and ratios.svg beside this file.

    python3 compare.py FLEXIHASH FOLDER ROUNDS

Whole processes are timed, start to exit, except Python's own learners, whose imports are left out. A ratio is the median
over rounds of peer's time / our time within the round. Loss of each program: every record predicted, then learned.
"""
import datetime, json, os, pathlib, platform, re, statistics, subprocess, sys, time

from chart import chart

BINARY, FOLDER, ROUNDS = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
HERE = pathlib.Path(__file__).parent
VW = [sys.executable, "-m", "vowpalwabbit", "--loss_function", "logistic", "-d"]
FLIGHTS, STRINGS = str(FOLDER / "flights.jsonl"), str(FOLDER / "strings.jsonl")
ALL, ONE = sorted(os.sched_getaffinity(0))[:2], sorted(os.sched_getaffinity(0))[:1]
DICTS = str(FOLDER / "dicts.jsonl")
# Huge pages for the memory's own limit, where the system gives them on request.
PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


def run(command, cores, env=None):
    """Seconds, output and report of a whole process."""
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **(env or {})},
                          preexec_fn=lambda: os.sched_setaffinity(0, cores))
    seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return seconds, done.stdout, done.stderr


def ours(cores, *flags, path=FLIGHTS):
    def once():
        summary = FOLDER / "summary.json"
        seconds, _, _ = run([BINARY, "train", "-q", path, "--summary", str(summary), *flags], cores)
        return seconds, json.loads(summary.read_text())["loss"]
    return once


def vw(*flags):
    def once():
        seconds, _, report = run(VW + list(flags), ALL)
        return seconds, float(re.search(r"^average loss = (\S+)", report, re.M).group(1))
    return once


def python(name, records, of):
    """A learner in Python on the first records, its time scaled to `of`."""
    def once():
        _, out, _ = run([sys.executable, str(HERE / "python_learners.py"), name, FLIGHTS, str(records)], ALL)
        found = json.loads(out)
        return found["seconds"] * of / found["records"], found["loss"]
    return once


def wait_for_quiet():
    """Other work on the machine makes every ratio a guess."""
    for _ in range(12):
        load = os.getloadavg()[0]
        if load < 0.5:
            return load
        print(f"load {load:.2f}: waiting", file=sys.stderr)
        time.sleep(10)
    return load


def streams():
    records = sum(1 for _ in open(FLIGHTS))
    programs = {
        "ours": ours(ALL), "ours, 1 core": ours(ONE),
        "Vowpal Wabbit --json": vw(str(FOLDER / "flights.vw.json"), "--json"),
        "Vowpal Wabbit text": vw(str(FOLDER / "flights.vw")),
        "scikit-learn": python("sklearn", records, records), "River": python("river", 20_000, records),
        "ours, fm, 1 core": ours(ONE, "--head", "fm", "--dim", "16", path=STRINGS),
    }
    if "--learners" in run([BINARY, "train", "--help"], ALL)[1]:
        programs["ours, --learners 2"] = ours(ALL, "--learners", "2")
    losses = {name: program()[1] for name, program in programs.items()}  # also warms up
    for name, loss in losses.items():
        print(f"loss {loss:.5f}  {name}", file=sys.stderr)
        if not name.startswith("ours") and name != "River" and losses["ours"] > 1.01 * loss:
            sys.exit(f"our loss is more than 1 % above that of {name}: times say nothing")
    if losses["ours"] != losses["ours, 1 core"]:
        sys.exit("two cores and one must give the same bits")
    if losses.get("ours, --learners 2", 0) > 1.002 * losses["ours"]:
        sys.exit("two learners: expected a loss within 0.2 %")
    times = {name: [] for name in programs}
    for _ in range(ROUNDS):
        for name, program in programs.items():
            times[name].append(program()[0])
    return losses, times, records


def embedding():
    """Milliseconds, ours and torch's, in turn; and our kernels in huge pages."""
    bench = ["cargo", "bench", "-q", "--locked", "--bench", "embedding", "--"]
    found = {"ours": [], "torch": [], "pages": []}
    for _ in range(ROUNDS):
        found["ours"].append(json.loads(run(bench + ["only=embed,hash", DICTS], ALL)[1]))
        torch = {}
        for threads in "12":
            script = [sys.executable, str(HERE / "torch_embedding.py"), DICTS, threads, "21"]
            torch.update(json.loads(run(script, ALL)[1]))
        found["torch"].append(torch)
        found["pages"].append(json.loads(run(bench + ["only=kernel", DICTS], ALL, PAGES)[1]))
    return found


def rows(losses, times, records, found):
    """(work, peer, peer's figure, ours, ratio, goal)"""
    table = []

    def stream(work, peer, mine, goal):
        ratio = statistics.median(p / o for p, o in zip(times[peer], times[mine]))
        rate = lambda name: f"{records / statistics.median(times[name]):,.0f}/s, loss {losses[name]:.4f}"
        table.append((work, peer, rate(peer), rate(mine), ratio, goal))

    stream("flights, linear head", "Vowpal Wabbit --json", "ours", 5)
    stream("flights, linear head", "Vowpal Wabbit text", "ours", 4)
    rate = records / statistics.median(times["ours"])
    table.append(("flights, linear head", "Fwumious Wabbit, text, published figure, not measured here",
                  "1,400,000/s", f"{rate:,.0f}/s", rate / 1.4e6, 1.7 / 1.4))
    stream("flights", "scikit-learn", "ours", None)
    stream("flights", "River", "ours", None)
    stream("two cores over one, same bits", "ours, 1 core", "ours", 1.5)
    if "ours, --learners 2" in times:
        stream("--learners 2 over one core", "ours, 1 core", "ours, --learners 2", 1.7)
    rate = 300_000 / statistics.median(times["ours, fm, 1 core"])
    table.append(("12 strings, FM of 16, 1 core", "goal of 800,000/s", "800,000/s", f"{rate:,.0f}/s", rate / 8e5, 1))

    def batch(work, peer, theirs, mine, goal, where=("torch", "ours")):
        pairs = [(p[theirs], o[mine]) for p, o in zip(found[where[0]], found[where[1]])]
        ms = lambda i: f"{statistics.median(pair[i] for pair in pairs):.3f} ms"
        ratio = statistics.median(p / o for p, o in pairs)
        table.append((work, peer, ms(0), ms(1), ratio, goal))

    for threads in "12":
        name = f"whole 128 threads {threads}"
        batch(f"dicts to vectors, dim 128, {threads} threads", "flexi_hash_embedding", name, name, 12)
    batch("its hashing, 1 thread, same hash", "FeatureHasher", "hash", "hash sklearn", 16)
    batch("its hashing, 1 thread, our keyed hash", "FeatureHasher", "hash", "hash native", 16)
    for dim, goal in [(8, 2.5), (16, 2.5), (64, 1.8), (128, 1.3)]:
        name = f"embed {dim} threads 1"
        batch(f"gather and sum, dim {dim}", "EmbeddingBag", name, name, goal)
    for dim, goal in [(8, 15), (16, None), (64, None), (128, 12)]:
        batch(f"SGD update, dim {dim}", "index_add_", f"index_add_ {dim} threads 1", f"sgd_backward {dim}", goal)
    best = sorted(name.split()[-1] for name in found["pages"][0] if name.startswith("gather_sum 8 a")) or ["scalar"]
    isa = "avx512" if "avx512" in best else best[-1]
    for dim in [8, 16, 64, 128, 256]:
        for kernel, limit in [("gather_sum", "read"), ("scatter_add", "read and write")]:
            batch(f"{kernel}, dim {dim}, huge pages", f"the memory: {limit}", f"{limit} {dim}",
                  f"{kernel} {dim} {isa}", 0.8, ("pages", "pages"))
    return table


def versions():
    names = ["vowpalwabbit", "scikit-learn", "river", "torch", "flexi-hash-embedding", "numpy"]
    import importlib.metadata as metadata
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    return (f"{cpu.group(1) if cpu else platform.processor()}, {len(ALL)} cores; Python {platform.python_version()}, "
            + ", ".join(f"{name} {metadata.version(name)}" for name in names) + f"; flexihash {commit}, "
            + datetime.date.today().isoformat())


def main():
    load = wait_for_quiet()
    losses, times, records = streams()
    table = rows(losses, times, records, embedding())
    machine = versions()
    lines = ["# Beside the peers", "",
             f"Written by `benches/peers/run.sh`: medians of {ROUNDS} rounds, all in turn; load before: {load:.2f}.",
             f"{machine}.", "",
             "A ratio above 1: we are faster. River's and scikit-learn's figures leave out their imports; River's is of the "
             "first 20,000 records.", "",
             "| work | peer | the peer | ours | ratio | goal | |", "|---|---|---|---|---|---|---|"]
    for work, peer, theirs, mine, ratio, goal in table:
        met = "" if goal is None else "met" if ratio >= goal else "not met"
        wanted = "" if goal is None else f"{goal:.3g}"
        lines.append(f"| {work} | {peer} | {theirs} | {mine} | {ratio:.2f} | {wanted} | {met} |")
    (HERE / "RESULTS.md").write_text("\n".join(lines) + "\n")
    (HERE / "ratios.svg").write_text(chart(table, machine))
    print("\n".join(lines))


main()

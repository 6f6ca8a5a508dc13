#!/usr/bin/env python3
"""Runs Vowpal Wabbit's three untuned learners and flexihash's default on generated streams; prints the table.

    compare.py FLEXIHASH FOLDER SEED [NAME ...]

Progressive loss (logloss in nats, or mean squared error), every record predicted before it is learned. Streams are
written to FOLDER and removed again one by one.
"""

import json
import math
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
LEARNERS = [[], ["--coin"], ["--ftrl"]]
VW = [sys.executable, "-m", "vowpalwabbit", "-b", "22"]


def vw(path, loss, learner):
    command = VW + ["-d", path, "--loss_function", loss] + learner
    report = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    found = re.search(r"^average loss = (\S+)", report, re.M)
    return float(found.group(1)) if found else math.inf


def ours(binary, path, loss, head):
    summary = path + ".summary"
    command = [binary, "train", path, "--loss", loss, "--head", head, "--quiet", "--summary", summary]
    subprocess.run(command, check=True)
    with open(summary) as file:
        figures = json.load(file)
    os.remove(summary)
    return figures["loss"]


def geometric_mean(ratios):
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def main():
    binary, folder, seed, names = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
    generator = [sys.executable, f"{HERE}/gen.py"]
    names = names or subprocess.check_output(generator + ["--names"], text=True).split()
    print(
        f"{'seed ' + seed:14}{'linear':>16}{'fm':>16}{'vw':>20}{'vw --coin':>18}{'vw --ftrl':>20}{'linear/best':>13}{'fm/best':>9}"
    )
    ratios = {"logistic": [], "squared": []}
    for name in names:
        subprocess.run(generator + [seed, folder, name], check=True)
        path = f"{folder}/{name}"
        loss = "squared" if name.startswith("s_") else "logistic"
        rivals = [vw(f"{path}.vw", loss, learner) for learner in LEARNERS]
        mine = [ours(binary, f"{path}.jsonl", loss, head) for head in ("linear", "fm")]
        best = min(rivals)
        # Vowpal Wabbit prints six decimals: a stream of tiny labels cannot be compared.
        ratio = [loss / best if best > 0 else math.nan for loss in mine]
        if best > 0:
            ratios[loss].append(ratio)
        print(
            f"{name:14}{mine[0]:16.6f}{mine[1]:16.6f}{rivals[0]:20.6f}{rivals[1]:18.6f}{rivals[2]:20.6f}{ratio[0]:13.4f}{ratio[1]:9.4f}",
            flush=True,
        )
        for suffix in (".vw", ".jsonl"):
            os.remove(path + suffix)
    every = ratios["logistic"] + ratios["squared"]
    for title, some in [("logistic", ratios["logistic"]), ("squared", ratios["squared"]), ("all", every)]:
        if some:
            linear, fm = zip(*some)
            print(
                f"{title}, {len(some)} streams: geometric mean {geometric_mean(linear):.4f} (fm {geometric_mean(fm):.4f}), worst {max(linear):.4f} (fm {max(fm):.4f})"
            )


main()

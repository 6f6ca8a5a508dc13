#!/usr/bin/env python3
"""The streams of the comparison, each in the format its reader likes best.

    python3 streams.py flights.jsonl.zst FOLDER

flights.jsonl      as it is, for us
flights.vw.json    flat objects with `_label` -1 or 1, for `vw --json`
flights.vw         Vowpal Wabbit's text: strings as key=value, numbers as key:value
strings.jsonl      300,000 records of twelve categories, generated (seed 12): what a factorization machine is for
"""
import io, json, pathlib, random, sys

import zstandard

source, folder = sys.argv[1], pathlib.Path(sys.argv[2])
if not (folder / "strings.jsonl").exists():
    text = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(open(source, "rb")), "utf8")
    with open(folder / "flights.jsonl", "w") as plain, open(folder / "flights.vw.json", "w") as flat, \
            open(folder / "flights.vw", "w") as lines:
        for line in text:
            record = json.loads(line)
            label, features = (1 if record["label"] else -1), record["features"]
            plain.write(line)
            flat.write(json.dumps({"_label": label, **features}, separators=(",", ":")) + "\n")
            names = (f"{k}={v}" if isinstance(v, str) else f"{k}:{v}" for k, v in features.items())
            lines.write(f"{label} | {' '.join(names)}\n")

    rng = random.Random(12)
    sizes = [2, 5, 7, 24, 50, 100, 300, 1000, 3000, 10000, 30000, 100000]
    bias = [{} for _ in sizes]
    with open(folder / "strings.jsonl.part", "w") as out:
        for _ in range(300_000):
            values = [int(size * rng.random() ** 2) for size in sizes]
            score = sum(b.setdefault(v, rng.gauss(0, 0.4)) for b, v in zip(bias, values))
            score += 0.5 if values[3] % 5 == values[5] % 5 else -0.1
            label = int(rng.random() < 1 / (1 + 2.718281828 ** (1 - score)))
            features = {f"field{i}": f"v{v}" for i, v in enumerate(values)}
            out.write(json.dumps({"label": label, "features": features}, separators=(",", ":")) + "\n")
    (folder / "strings.jsonl.part").rename(folder / "strings.jsonl")

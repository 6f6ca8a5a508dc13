#!/usr/bin/env python3
"""The batch of dicts for the embedding's comparison: 4,096 dicts of 0 to 10 features, 20,636 in all, one JSON object a line.

    python3 dicts.py OUT.jsonl

Seeded; keys are names with a number out of 200,000 each, as ids in features are, values are numbers.
"""
import json, random, sys

DICTS, FEATURES = 4096, 20636
NAMES = ["age", "spend", "clicks", "city", "device", "referrer", "item", "session", "plan", "channel"]

rng = random.Random(20636)
sizes = [rng.randint(0, 10) for _ in range(DICTS)]
while sum(sizes) != FEATURES:
    i = rng.randrange(DICTS)
    sizes[i] = min(10, max(0, sizes[i] + (1 if sum(sizes) < FEATURES else -1)))

with open(sys.argv[1], "w") as out:
    for size in sizes:
        names = rng.sample(NAMES, size)
        pairs = {f"{name}_{rng.randrange(200_000)}": round(rng.gauss(0, 1), 4) or 1.0 for name in names}
        out.write(json.dumps(pairs) + "\n")

#!/usr/bin/env python3
"""torch on the dicts' file: medians in milliseconds a batch, as JSON, under the names of embedding.rs.

    python3 torch_embedding.py dicts.jsonl THREADS ROUNDS

flexi_hash_embedding is run as published; its extension torch_scatter is stood in for by the torch call it makes.
"""
import json, statistics, sys, time, types

import numpy as np
import torch
from sklearn.feature_extraction import FeatureHasher

scatter = types.ModuleType("torch_scatter")


def scatter_add(source, index, dim):
    out = torch.zeros(int(index.max()) + 1, source.shape[1])
    return out.scatter_add_(dim, index[:, None].expand_as(source), source)


scatter.scatter_add = scatter_add
sys.modules["torch_scatter"] = scatter
from flexi_hash_embedding import FlexiHashEmbedding  # noqa: E402

path, threads, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(threads)
BUCKETS = 1 << 20
dicts = [json.loads(line) for line in open(path)]
times = {}


def measure(name, work):
    found = []
    for _ in range(rounds + 3):
        start = time.perf_counter()
        work()
        found.append((time.perf_counter() - start) * 1e3)
    times[name] = statistics.median(found[3:])


hasher = FeatureHasher(BUCKETS, alternate_sign=False)
if threads == 1:
    measure("hash", lambda: hasher.transform(dicts))
rows = hasher.transform(dicts)
index = torch.from_numpy(rows.indices.astype(np.int64))
offsets = torch.from_numpy(rows.indptr[:-1].astype(np.int64))
values = torch.from_numpy(rows.data.astype(np.float32))
with torch.no_grad():
    flexi = FlexiHashEmbedding(BUCKETS, 128)
    measure(f"whole 128 threads {threads}", lambda: flexi(dicts))
    del flexi
    for dim in [8, 16, 64, 128]:
        bag = torch.nn.EmbeddingBag(BUCKETS, dim, mode="sum")
        measure(f"embed {dim} threads {threads}", lambda: bag(index, offsets, per_sample_weights=values))
        moves = torch.full((len(index), dim), 1e-7)
        table = bag.weight.data
        measure(f"index_add_ {dim} threads {threads}", lambda: table.index_add_(0, index, moves))
print(json.dumps(times))

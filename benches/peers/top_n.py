"""The best 10 of many items by numpy: all scores by BLAS, then argpartition and a sort of the ten. One thread.

Beside `cargo bench --bench retrieve`, whose cases these are; RETRIEVE_ITEMS as there. Times are medians, per item and query.
"""
import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is loaded
import time

import numpy as np

BEST = 10
random = np.random.default_rng(0)
many = int(os.environ.get("RETRIEVE_ITEMS", 200_000))


def best(items, bias, queries):
    scores = queries @ items.T + bias
    first = np.argpartition(scores, -BEST, axis=1)[:, -BEST:]
    order = np.argsort(-np.take_along_axis(scores, first, axis=1), axis=1)
    return np.take_along_axis(first, order, axis=1)


print(f"numpy {np.__version__}")
for count, dim, asked in [(20_000, 32, 1), (20_000, 128, 1), (20_000, 32, 16), (many, 32, 1), (many, 128, 1), (many, 128, 16)]:
    items = random.standard_normal((count, dim), dtype=np.float32)
    bias = random.standard_normal(count, dtype=np.float32)
    queries = random.standard_normal((asked, dim), dtype=np.float32)
    found = best(items, bias, queries)
    exact = np.argsort(-(queries.astype(np.float64) @ items.T + bias), axis=1)[:, :BEST]
    assert (found == exact).mean() > 0.9
    times = []
    for _ in range(30):
        start = time.perf_counter()
        best(items, bias, queries)
        times.append(time.perf_counter() - start)
    median = sorted(times)[len(times) // 2]
    print(f"{count} items, dim {dim}, {asked} queries: {median * 1e3:.3f} ms, {count * asked / median / 1e6:.1f} million items/s")

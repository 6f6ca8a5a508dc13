#!/usr/bin/env python3
"""scikit-learn and River on the flights stream, as their users would write it; prints loss, seconds and records as JSON.

    python3 python_learners.py sklearn|river flights.jsonl RECORDS

Every record is predicted before it is learned; imports are not timed, parsing is.
"""
import json, math, sys, time


def sklearn(lines):
    from sklearn.feature_extraction import FeatureHasher
    from sklearn.linear_model import SGDClassifier

    hasher, model = FeatureHasher(2**22), SGDClassifier(loss="log_loss", random_state=0)
    loss, start = 0.0, time.perf_counter()
    for at in range(0, len(lines), 1000):
        records = [json.loads(line) for line in lines[at:at + 1000]]
        x = hasher.transform(record["features"] for record in records)
        y = [record["label"] for record in records]
        if at:
            loss -= sum(map(log_of, model.predict_proba(x)[:, 1], y))
        else:
            loss += len(y) * math.log(2)
        model.partial_fit(x, y, classes=[0, 1])
    return loss, time.perf_counter() - start


def river(lines):
    from river import linear_model

    model, loss, start = linear_model.LogisticRegression(), 0.0, time.perf_counter()
    for line in lines:
        record = json.loads(line)
        features = record["features"].items()
        x = {f"{k}={v}" if isinstance(v, str) else k: 1.0 if isinstance(v, str) else v for k, v in features}
        y = bool(record["label"])
        loss -= log_of(model.predict_proba_one(x)[True], y)
        model.learn_one(x, y)
    return loss, time.perf_counter() - start


def log_of(p, y):
    return math.log(max(1e-15, p if y else 1 - p))


name, path, records = sys.argv[1], sys.argv[2], int(sys.argv[3])
with open(path) as file:
    lines = [line for line, _ in zip(file, range(records))]
total, seconds = {"sklearn": sklearn, "river": river}[name](lines)
print(json.dumps({"loss": total / len(lines), "seconds": seconds, "records": len(lines)}))

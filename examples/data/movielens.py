#!/usr/bin/env python3
"""MovieLens-100k as streams of JSON lines in time order: who rated what, with side features.

    python3 examples/data/movielens.py OUT_DIR [RECBOLE.whl]

The data ship inside the PyPI package recbole, which pip fetches unless its wheel is given. MovieLens' licence forbids
passing them on: never commit them. 100,000 records each; whatever a record says was known before it.

ml100k.jsonl         {"id", "label": 1 to 5, "features": {"user": {"id", "age", "gender", "occupation"},
                     "item": {"id", "year", "genre": [...]}}}
ml100k-tasks.jsonl   the same with three labels, {"liked": rating >= 4, "loved": rating = 5, "disliked": rating <= 2}, and
                     user.ratings, how many ratings of the user came before, in ranges
ml100k-ranker.jsonl  {"id", "features": {"user": {"id"}, "history": [...], "candidates": [...]}}: the last 20 items that the
                     user rated, oldest first, and in an order of chance the one rated next and 19 others, drawn uniformly
                     from the items that the user has not rated yet. Of an item: "post" its id, "author" its genres,
                     "surface" its age, 0 to 14. "actions": "rated", with what the user thought of it; of the other
                     candidates none.
"""
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter, defaultdict, deque

HISTORY, OTHERS = 20, 19
# From how many ratings on a user is in each range.
RANGES = [0, 5, 10, 20, 50, 100, 200]


def wheel(folder):
    """The package's bytes are all that is wanted of it: nothing of it is installed or run."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, "recbole==1.2.1"]
    subprocess.run(command, check=True)
    return next(pathlib.Path(folder).glob("*.whl"))


def tables(path):
    with zipfile.ZipFile(path) as archive:
        def table(name):
            lines = archive.read(f"recbole/dataset_example/ml-100k/ml-100k.{name}").decode().splitlines()
            head = [column.split(":")[0] for column in lines[0].split("\t")]
            return [dict(zip(head, line.split("\t"))) for line in lines[1:]]

        users = {user["user_id"]: user for user in table("user")}
        items = {item["item_id"]: item for item in table("item")}
        return users, items, sorted(table("inter"), key=lambda rating: float(rating["timestamp"]))


def user_of(rating, users):
    user = users[rating["user_id"]]
    age = str(int(user["age"]) // 10)
    return {"id": rating["user_id"], "age": age, "gender": user["gender"], "occupation": user["occupation"]}


def item_of(rating, items):
    item = items.get(rating["item_id"], {})
    return {"id": rating["item_id"], "year": item.get("release_year", ""), "genre": item.get("class", "").split()}


def plain(users, items, ratings):
    for number, rating in enumerate(ratings):
        features = {"user": user_of(rating, users), "item": item_of(rating, items)}
        yield {"id": str(number), "label": float(rating["rating"]), "features": features}


def opinions(rating):
    stars = float(rating["rating"])
    return {"liked": stars >= 4, "loved": stars == 5, "disliked": stars <= 2}


def tasks(users, items, ratings):
    before = Counter()
    for number, rating in enumerate(ratings):
        user = user_of(rating, users)
        reached = [start for start in RANGES if start <= before[user["id"]]]
        last = reached[-1] == RANGES[-1]
        user["ratings"] = f"{reached[-1]}+" if last else f"{reached[-1]}-{RANGES[len(reached)] - 1}"
        before[user["id"]] += 1
        labels = {task: int(holds) for task, holds in opinions(rating).items()}
        yield {"id": str(number), "label": labels, "features": {"user": user, "item": item_of(rating, items)}}


def surface(item):
    """Release years in 15 steps, the last decade, which is most of them, by year; 0: unknown."""
    year = item.get("release_year", "")
    if not year.isdigit():
        return 0
    starts = [0, 1950, 1960, 1970, 1980, 1990, 1991, 1992, 1993, 1994, 1995, 1996, 1997, 1998]
    return sum(start <= int(year) for start in starts)


def ranker(_, items, ratings):
    shown = {}
    for name in sorted(items.keys() | {rating["item_id"] for rating in ratings}, key=int):
        item = items.get(name, {})
        shown[name] = {"post": name, "author": item.get("class", ""), "surface": surface(item)}
    names, chance = list(shown), random.Random(0)
    rated, history = defaultdict(set), defaultdict(lambda: deque(maxlen=HISTORY))
    # The one function of `random` whose numbers no version of Python may change.
    below = lambda count: int(chance.random() * count)
    for number, rating in enumerate(ratings):
        user, item = rating["user_id"], rating["item_id"]
        others, drawn = rated[user] | {item}, []
        while len(drawn) < OTHERS:
            name = names[below(len(names))]
            if name not in others:
                others.add(name)
                drawn.append(name)
        drawn.insert(below(len(drawn) + 1), item)
        taken = ["rated", *(opinion for opinion, holds in opinions(rating).items() if holds)]
        candidates = [{**shown[name], "actions": taken if name == item else []} for name in drawn]
        features = {"user": {"id": user}, "history": list(history[user]), "candidates": candidates}
        yield {"id": str(number), "features": features}
        history[user].append({**shown[item], "actions": taken})
        rated[user].add(item)


STREAMS = {"ml100k.jsonl": plain, "ml100k-tasks.jsonl": tasks, "ml100k-ranker.jsonl": ranker}


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as fetched:
        data = tables(sys.argv[2] if len(sys.argv) == 3 else wheel(fetched))
    for name, stream in STREAMS.items():
        # Renamed once whole: what is there is complete.
        part = folder / f"{name}.part"
        with open(part, "w") as out:
            for record in stream(*data):
                out.write(json.dumps(record) + "\n")
        part.replace(folder / name)


if __name__ == "__main__":
    main()

//! Streams in the layouts that the models read, drawn from users and items with tastes of their own.

use crate::support::Dice;
use serde_json::{Value, json};
use std::fmt::Write as _;

const USERS: u64 = 40;
const ITEMS: u64 = 60;

fn taste(dice: &mut Dice, count: u64) -> Vec<[f64; 2]> {
    let one = |dice: &mut Dice| dice.roll(2000) as f64 / 1000.0 - 1.0;
    (0..count).map(|_| [one(dice), one(dice)]).collect()
}

/// `count` ratings: user, item, and what one thinks of the other, from 1 to 5.
fn ratings(count: usize, seed: u64) -> Vec<(u64, u64, f64)> {
    let mut dice = Dice(seed);
    let (users, items) = (taste(&mut dice, USERS), taste(&mut dice, ITEMS));
    let one = |_| {
        let (user, item) = (dice.roll(USERS), dice.roll(ITEMS));
        let (a, b) = (users[user as usize], items[item as usize]);
        let noise = dice.roll(1000) as f64 / 1000.0 - 0.5;
        let rating = 3.5 + a[0] + b[0] + 1.5 * a[1] * b[1] + noise;
        (user, item, rating.round().clamp(1.0, 5.0))
    };
    (0..count).map(one).collect()
}

fn features(user: u64, item: u64) -> Value {
    json!({
        "user": {"id": user.to_string(), "age": (user % 7).to_string()},
        "item": {"id": item.to_string(), "year": (1990 + item % 9).to_string(), "genre": [format!("g{}", item % 5)]},
    })
}

fn lines(records: impl Iterator<Item = Value>) -> String {
    let mut out = String::new();
    records.for_each(|record| writeln!(out, "{record}").unwrap());
    out
}

/// Ratings, in the layout of MovieLens.
pub(crate) fn rated(count: usize) -> String {
    let all = ratings(count, 3).into_iter().enumerate();
    lines(all.map(|(id, (user, item, label))| {
        json!({"id": id.to_string(), "label": label, "features": features(user, item)})
    }))
}

/// The same as three questions, of which some go without an answer.
pub(crate) fn asked(count: usize) -> String {
    let all = ratings(count, 3).into_iter().enumerate();
    lines(all.map(|(id, (user, item, rating))| {
        let answer = |yes: bool| i32::from(yes);
        let mut label = json!({"liked": answer(rating >= 4.0), "loved": answer(rating == 5.0)});
        if id % 3 > 0 {
            label["disliked"] = json!(answer(rating <= 2.0));
        }
        json!({"id": id.to_string(), "label": label, "features": features(user, item)})
    }))
}

/// Candidates shown to users, who take those of their own kind; histories of different lengths, the first of them empty.
pub(crate) fn shown(count: usize) -> String {
    let mut dice = Dice(9);
    let mut histories = vec![Vec::new(); USERS as usize];
    let one = |id: usize| {
        let user = dice.roll(USERS);
        let item = |post: u64| json!({"post": post.to_string(), "author": (post % 10).to_string(), "surface": post % 4});
        let shown: Vec<u64> = (0..2 + dice.roll(5)).map(|_| dice.roll(ITEMS)).collect();
        let takes = |post: u64| post % 4 == user % 4;
        let history: &mut Vec<u64> = &mut histories[user as usize];
        let past = history.iter().rev().take(8).map(|&post| {
            let mut item = item(post);
            item["actions"] = json!(["rated", "liked"]);
            item
        });
        let past: Vec<Value> = past.collect();
        let candidates = shown.iter().enumerate().map(|(at, &post)| {
            let mut item = item(post);
            if at != 1 {
                item["actions"] = json!({"rated": i32::from(takes(post)), "liked": i32::from(takes(post))});
            }
            item
        });
        let features =
            json!({"user": {"id": user}, "history": past, "candidates": candidates.collect::<Vec<_>>()});
        history.extend(shown.into_iter().filter(|&post| takes(post)));
        json!({"id": id, "features": features})
    };
    let records: Vec<Value> = (0..count).map(one).collect();
    lines(records.into_iter())
}

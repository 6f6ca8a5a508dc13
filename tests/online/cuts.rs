//! A cut of a network: what it says was read is what was learned, where batches begin in one delivery and end in another.

use crate::support::*;
use flexihash::config::{ConfigFile, Every};
use flexihash::engine::{EngineOptions, Outputs};
use flexihash::record::{Fetch, Position, Positions, RecordBatch, Source, SourceError};
use flexihash::sink::{PublishError, Publisher, Results, Wants};
use flexihash::{Engine, HashKey, Model};
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

const PARTITIONS: [&str; 3] = ["t[0]", "t[1]", "t[2]"];
const NETWORK: &str = r#"
batch = 7
[network]
kind = "mlp"
dim = 2
hidden = [2]
[[fields]]
name = "features"
kind = "sum"
path = ""
buckets = 1024
"#;

/// Records of partitions, a few or none a delivery.
struct Deliveries {
    lines: std::vec::IntoIter<Vec<u8>>,
    at: [Position; PARTITIONS.len()],
    dice: Dice,
}

impl fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deliveries").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Source for Deliveries {
    fn resume(&mut self, _: &Positions) -> Result<(), SourceError> {
        Ok(())
    }

    fn fetch(&mut self, batch: &mut RecordBatch) -> Result<Fetch, SourceError> {
        let turn = self.dice.roll(PARTITIONS.len() as u64) as usize;
        let at = &mut self.at[turn];
        batch.reset(&Arc::from(PARTITIONS[turn]), 0, *at);
        if self.lines.len() == 0 {
            return Ok(Fetch::End);
        }
        for line in self.lines.by_ref().take(self.dice.roll(5) as usize) {
            let after = Position { lines: at.lines + 1, offset: at.offset + 1 };
            batch.push(&line, line.len() as u64, *at, after);
            *at = after;
        }
        Ok(Fetch::Records)
    }

    fn acknowledge(&mut self, _: &Positions) -> Result<(), SourceError> {
        Ok(())
    }
}

/// Of each commit: records by its positions, and prediction lines, since the beginning.
#[derive(Debug, Default, Clone)]
struct Commits(Arc<Mutex<Vec<(u64, u64)>>>);

impl Publisher for Commits {
    fn wants(&self) -> Wants {
        Wants { predictions: true, letters: false }
    }

    fn publish(
        &mut self,
        _: Option<u64>,
        positions: &Positions,
        results: &[Results],
    ) -> Result<(), PublishError> {
        let mut commits = self.0.lock().unwrap();
        let before = commits.last().map_or(0, |(_, lines)| *lines);
        let lines: usize =
            results.iter().map(|results| results.predictions.split(|&b| b == b'\n').count() - 1).sum();
        let records = positions.sources.values().map(|at| at.offset).sum();
        commits.push((records, before + lines as u64));
        Ok(())
    }
}

#[test]
fn what_a_cut_says_was_read_is_what_was_learned() {
    let records = flights(5000);
    let scene = Scene::new();
    let config = ConfigFile::read(&scene.file("network.toml", NETWORK)).unwrap();
    let source = Deliveries {
        lines: records
            .split_inclusive(|&byte| byte == b'\n')
            .map(<[u8]>::to_vec)
            .collect::<Vec<_>>()
            .into_iter(),
        at: Default::default(),
        dice: Dice(5),
    };
    let commits = Commits::default();
    let options = EngineOptions { checkpoint_every: vec![Every::Records(1)], ..EngineOptions::default() };
    let outputs = Outputs { publisher: Some(Box::new(commits.clone())), ..Outputs::default() };
    let model = Model::new(&config.model, &HashKey::default()).unwrap();
    let engine = Engine::new(model, options, outputs, None);
    engine.run(Box::new(source), &AtomicBool::new(false), &mut ()).unwrap();
    let commits = commits.0.lock().unwrap();
    assert!(commits.len() > 50, "{} commits", commits.len());
    assert_eq!(*commits.last().unwrap(), (5000, 5000));
    for (records, lines) in commits.iter() {
        assert_eq!(records, lines);
        assert!(lines % 7 == 0 || *lines == 5000, "{lines}");
    }
}

//! Records that somebody gave to be learned, beside those of the source: learned at once between two batches, a network's as a batch
//! of their own. They move no position, and their predictions go to who gave them; bad ones are counted, and go to the dead letters'
//! file as those of the source do, but end no run.

use super::super::EngineError;
use super::super::live::Lesson;
use super::super::work::{Entry, Work};
use super::super::write::Out;
use super::results::told;
use super::{Gone, Links, Stage};
use crate::learner::{LearnerError, Mode, Outcome, Piece};
use crate::metrics::Bad;
use crate::sink::{Answers, DeadLetter, Results, write_prediction};

impl Stage<'_> {
    /// Learns what was given, and answers.
    pub(super) fn learn_taught(
        &mut self,
        lesson: Lesson,
        links: &Links,
    ) -> Result<Result<(), Gone>, EngineError> {
        let Lesson { work, done, .. } = lesson;
        self.process_taught(&work)?;
        let scored = |outcome: &&Outcome| matches!(outcome, Outcome::Scored { .. });
        self.records += self.outcomes.rows.iter().filter(scored).count() as u64;
        self.taught = true;
        let (answers, dead_letters) = self.answers(&work);
        if !dead_letters.is_empty() {
            let results =
                Results { source: work.records.source_name(), predictions: Vec::new(), letters: Vec::new() };
            if links.lines.send(Out::Lines { dead_letters, results }).is_err() {
                return Ok(Err(Gone));
            }
        }
        self.tell_batch(&work);
        done(answers);
        Ok(self.cut_if_due(links))
    }

    fn process_taught(&mut self, work: &Work) -> Result<(), LearnerError> {
        let (learner, outcomes) = (self.model.learner_mut(), &mut self.outcomes);
        let rows = 0..work.encoded.records().len();
        if learner.is_network() {
            return learner.process_fields(
                &[Piece { batch: &work.encoded.fields, rows }],
                Mode::Learn,
                outcomes,
            );
        }
        let batch = &work.encoded.features;
        match self.team {
            None => learner.process(batch, rows, Mode::Learn, outcomes),
            Some(team) => team.joined(learner, |learner| learner.process(batch, rows, Mode::Learn, outcomes)),
        }
    }

    /// What is said of each record, and the dead letters of bad ones.
    fn answers(&mut self, work: &Work) -> (Answers, Vec<u8>) {
        let (mut answers, mut dead_letters, mut row, mut skipped) = (Answers::default(), Vec::new(), 0, 0);
        for (entry, record) in work.entries.iter().zip(work.records.iter()) {
            let bad = match entry {
                Entry::Bad(bad, reason) => Some((*bad, reason.clone())),
                Entry::Row => {
                    let id = work.encoded.records().id(row);
                    row += 1;
                    match (self.outcomes.rows.get(row - 1), self.outcomes.row(row - 1)) {
                        (_, Some(predicted)) => {
                            answers.good(|out| write_prediction(out, id, &predicted));
                            None
                        }
                        (Some(Outcome::Rejected(rejection)), _) => {
                            Some((Bad::Learner, rejection.to_string()))
                        }
                        _ => None,
                    }
                }
            };
            if let Some((bad, reason)) = bad {
                answers.bad(&reason);
                self.input.metrics.bad(told(bad, &record, &reason));
                DeadLetter::new(record, reason).write(&mut dead_letters);
                skipped += 1;
            }
        }
        self.model.skip(skipped);
        (answers, dead_letters)
    }

    /// Learns what was given until now; nothing more is taken.
    pub(super) fn end_taught(&mut self, links: &Links) -> Result<Result<(), Gone>, EngineError> {
        let Some(feed) = self.feed.take() else { return Ok(Ok(())) };
        feed.close();
        while let Ok(lesson) = feed.lessons.try_recv() {
            if let Err(gone) = self.learn_taught(lesson, links)? {
                return Ok(Err(gone));
            }
        }
        Ok(Ok(()))
    }
}

//! Records that somebody gave to be learned, beside those of the source: learned at once between two batches, a network's as a batch
//! of their own. They move no position, and their predictions go to who gave them. Bad ones are counted and go where dead letters go,
//! as those of the source do, a topic's with the transaction of the generation that has learned their neighbours; but they end no run.
//! What there is to see in them is taken up in the order in which they are learned.

use super::super::EngineError;
use super::super::live::Lesson;
use super::super::work::{Entry, Work};
use super::results::Dead;
use super::{Gone, Links, Stage};
use crate::learner::{LearnerError, Mode, Outcome};
use crate::metrics::Bad;
use crate::sink::{Answers, write_prediction};

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
        self.model.teach(work.records.len() as u64);
        self.model.see(&work.seen, &(0..work.entries.len()));
        let (answers, dead) = self.answers(&work);
        let out = self.out(work.records.source_name(), Vec::new(), dead);
        if out.is_some_and(|out| links.lines.send(out).is_err()) {
            return Ok(Err(Gone));
        }
        self.tell_batch(&work);
        done(answers);
        Ok(self.cut_if_due(links))
    }

    fn process_taught(&mut self, work: &Work) -> Result<(), LearnerError> {
        let (learner, outcomes) = (self.model.learner_mut(), &mut self.outcomes);
        match self.team {
            None => work.encoded.process(learner, Mode::Learn, outcomes),
            Some(team) => {
                team.joined(learner, |learner| work.encoded.process(learner, Mode::Learn, outcomes))
            }
        }
    }

    /// What is said of each record, and the bad ones.
    fn answers(&self, work: &Work) -> (Answers, Dead) {
        let (mut answers, mut dead, mut row) = (Answers::default(), Dead::default(), 0);
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
                dead.push(self.input, bad, record, reason);
            }
        }
        (answers, dead)
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

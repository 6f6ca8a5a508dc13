//! Parsed batches that are not learned to their end yet, and which of their records are learned together.
//!
//! A head learns each record at once, so what is parsed goes as it came. A network learns records in batches of its own, whose
//! *borders* depend on the stream alone: on the number of good records since the last border, never on where the reader's
//! batches begin, nor on time. What is behind the last border waits here: it is not learned, its positions are not advanced and its
//! results are not written, so a cut is always one of whole batches. Bad records wait in their place among the others;
//! that they cannot pile up for ever, a batch also ends after so many bytes, or records of any kind, since its first good one.

use super::super::work::{Entry, Work};
use crate::record::Record;
use std::collections::VecDeque;
use std::ops::Range;

/// Bytes of records, and records, good and bad, after which a batch ends though it is not full.
const MOST_BYTES: u64 = 32 << 20;
const MOST_RECORDS: usize = 1 << 20;

/// Waiting works up to which the fixed number of those in circulation does; beyond it new ones take their place.
const SLACK: usize = 4;

/// Consecutive records of one work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    /// Which of the waiting ones.
    pub(super) work: usize,
    pub(super) entries: Range<usize>,
    /// Those of the entries that are rows of the encoded batch.
    pub(super) rows: Range<usize>,
}

/// A place between records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Number of the work, counted from the first that ever waited.
    work: u64,
    entry: usize,
    row: usize,
}

/// The end of a batch, and how many good records came before it.
#[derive(Debug, Clone, Copy)]
struct Border {
    at: Place,
    good: u64,
    /// The batch is not full.
    short: bool,
}

/// Records since the last border.
#[derive(Debug, Default)]
struct Since {
    good: usize,
    records: usize,
    bytes: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Pending {
    /// Good records of a batch; 1: there are no borders, each record is one.
    size: usize,
    works: VecDeque<Work>,
    next: Place,
    borders: VecDeque<Border>,
    since: Since,
    /// Good records that came, and those that were learned.
    came: u64,
    learned: u64,
    /// Works made because others wait.
    extra: usize,
}

impl Pending {
    /// Nothing waits. `size`: good records of a batch; none: records are learned as they come.
    pub(super) fn new(size: Option<usize>) -> Self {
        Self {
            size: size.unwrap_or(0),
            works: VecDeque::new(),
            next: Place::default(),
            borders: VecDeque::new(),
            since: Since::default(),
            came: 0,
            learned: 0,
            extra: 0,
        }
    }

    /// The works that wait.
    pub(super) fn works(&self) -> &VecDeque<Work> {
        &self.works
    }

    /// Takes up one more; `is_good` tells of a row whether it counts. True: a new one is to take its place in circulation.
    pub(super) fn push(&mut self, work: Work, is_good: impl Fn(&Work, usize) -> bool) -> bool {
        self.works.push_back(work);
        self.find_borders(self.works.len() - 1, 0, is_good);
        let more = self.works.len() > SLACK + self.extra;
        self.extra += usize::from(more);
        more
    }

    fn find_borders(&mut self, index: usize, from: usize, is_good: impl Fn(&Work, usize) -> bool) {
        let Some(work) = self.works.get(index).filter(|_| self.size > 0) else { return };
        let mut at = Place { work: self.first_number() + index as u64, entry: 0, row: 0 };
        for entry in &work.entries {
            let is_row = matches!(entry, Entry::Row);
            let good = is_row && at.entry >= from && is_good(work, at.row);
            let length = work.records.get(at.entry).map_or(0, |record| record.bytes.len() as u64);
            (at.entry, at.row) = (at.entry + 1, at.row + usize::from(is_row));
            if at.entry <= from {
                continue;
            }
            self.came += u64::from(good);
            if self.since.ends(good, length, self.size) {
                let short = self.since.good < self.size;
                self.borders.push_back(Border { at, good: self.came, short });
                self.since = Since::default();
            } else if self.since.good == 0 {
                // A bad record behind a border need not wait for the next.
                match self.borders.back_mut().filter(|border| border.at.work == at.work) {
                    Some(border) => border.at = at,
                    None => self.borders.push_back(Border { at, good: self.came, short: false }),
                }
            }
        }
    }

    /// Ends the batch that is not full: nothing comes behind it.
    pub(super) fn end(&mut self) {
        let Some(last) = self.works.back().filter(|_| self.size > 0 && self.since.good > 0) else { return };
        let rows = last.entries.iter().filter(|entry| matches!(entry, Entry::Row)).count();
        let work = self.first_number() + self.works.len() as u64 - 1;
        let at = Place { work, entry: last.entries.len(), row: rows };
        self.borders.push_back(Border { at, good: self.came, short: true });
        self.since = Since::default();
    }

    /// The first work with what of it is still to be learned: entries and rows from these on.
    pub(super) fn first(&self) -> Option<(&Work, usize, usize)> {
        let work = self.works.front()?;
        (self.next.entry < work.entries.len()).then_some((work, self.next.entry, self.next.row))
    }

    /// The last record of the first work that is done with, if some of it are and not all.
    pub(super) fn last(&self) -> Option<Record<'_>> {
        self.works.front()?.records.get(self.next.entry.checked_sub(1)?)
    }

    /// The place so many entries and rows further in the first work.
    pub(super) fn behind(&self, entries: usize, rows: usize) -> Place {
        Place { entry: self.next.entry + entries, row: self.next.row + rows, ..self.next }
    }

    /// What a network learns next: whole batches of the first work, as many as there are up to `room` good records, or to one that is
    /// not full; or else one that goes on in those behind it.
    pub(super) fn batches(&self, room: u64) -> Option<Place> {
        let own = self.borders.iter().take_while(|border| border.at.work == self.next.work);
        let mut best = None;
        for border in own {
            best = Some(border.at);
            if border.short || border.good - self.learned >= room {
                break;
            }
        }
        best.or_else(|| self.borders.front().map(|border| border.at))
    }

    /// The records from the next one to `end`.
    pub(super) fn spans(&self, end: Place) -> Vec<Span> {
        let last = (end.work - self.next.work) as usize;
        let span = |(index, work): (usize, &Work)| {
            let (entry, row) = if index == 0 { (self.next.entry, self.next.row) } else { (0, 0) };
            let rows = || work.entries.iter().filter(|entry| matches!(entry, Entry::Row)).count();
            let to = if index == last { (end.entry, end.row) } else { (work.entries.len(), rows()) };
            Span { work: index, entries: entry..to.0, rows: row..to.1 }
        };
        let spans = self.works.iter().enumerate().take(last + 1).map(span);
        spans.filter(|span| !span.entries.is_empty()).collect()
    }

    /// Goes on at `end`.
    pub(super) fn advance(&mut self, end: Place, finished: &mut Vec<Work>) {
        while self.next.work < end.work {
            self.pop(finished);
        }
        self.next = end;
        while let Some(border) = self.borders.front().filter(|border| border.at.is_up_to(end)) {
            self.learned = border.good;
            self.borders.pop_front();
        }
        while self.works.front().is_some_and(|work| work.entries.len() <= self.next.entry) {
            self.pop(finished);
        }
    }

    fn pop(&mut self, finished: &mut Vec<Work>) {
        self.next = Place { work: self.next.work + 1, entry: 0, row: 0 };
        finished.extend(self.works.pop_front());
    }

    /// Whether a finished work is to circulate again: not if another has taken its place.
    pub(super) fn circulates(&mut self) -> bool {
        let extra = self.extra > 0;
        self.extra -= usize::from(extra);
        !extra
    }

    /// Drops what waits of `sources`.
    pub(super) fn forget(
        &mut self,
        sources: &[String],
        is_good: impl Fn(&Work, usize) -> bool,
        finished: &mut Vec<Work>,
    ) {
        let works = std::mem::take(&mut self.works);
        let from = self.next.entry;
        let leaves = |work: &Work| sources.iter().any(|source| source == work.records.source());
        let first_stays = works.front().is_some_and(|work| !leaves(work));
        let (left, stays): (Vec<Work>, Vec<Work>) = works.into_iter().partition(leaves);
        finished.extend(left);
        self.works = stays.into();
        self.borders.clear();
        self.since = Since::default();
        self.came = self.learned;
        if !first_stays {
            (self.next.entry, self.next.row) = (0, 0);
        }
        for index in 0..self.works.len() {
            let from = if index == 0 && first_stays { from } else { 0 };
            self.find_borders(index, from, &is_good);
        }
    }

    fn first_number(&self) -> u64 {
        self.next.work
    }
}

impl Place {
    fn is_up_to(self, end: Self) -> bool {
        (self.work, self.entry) <= (end.work, end.entry)
    }
}

impl Since {
    /// Takes up one more record; whether the batch ends behind it.
    fn ends(&mut self, good: bool, length: u64, size: usize) -> bool {
        self.good += usize::from(good);
        if self.good > 0 {
            self.records += 1;
            self.bytes += length;
        }
        self.good >= size || self.records >= MOST_RECORDS || self.bytes >= MOST_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Bad;
    use crate::record::Position;

    /// A work of these records: how long each is, and whether it is good.
    fn work(records: &[(usize, bool)]) -> Work {
        let mut work = Work::default();
        let at = Position::default();
        for &(length, good) in records {
            work.records.push(&vec![b' '; length], length as u64, at, at);
            work.entries.push(if good { Entry::Row } else { Entry::Bad(Bad::Parse, String::new()) });
        }
        work
    }

    /// How many good records each batch has that a network makes of `records`, which come in works of `sizes` in turn. A segment of
    /// several batches is dealt into full ones from its start, as a learner does.
    fn batches(records: &[(usize, bool)], sizes: &[usize], size: usize) -> Vec<usize> {
        let (mut pending, mut finished, mut batches) = (Pending::new(Some(size)), Vec::new(), Vec::new());
        let mut learn = |pending: &mut Pending| {
            while let Some(end) = pending.batches(u64::MAX) {
                let mut rows: usize = pending.spans(end).iter().map(|span| span.rows.len()).sum();
                while rows > 0 {
                    batches.push(rows.min(size));
                    rows -= rows.min(size);
                }
                pending.advance(end, &mut finished);
            }
        };
        let (mut rest, mut sizes) = (records, sizes.iter().cycle());
        while !rest.is_empty() {
            let (some, behind) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
            pending.push(work(some), |_, _| true);
            learn(&mut pending);
            rest = behind;
        }
        pending.end();
        learn(&mut pending);
        assert!(pending.works().is_empty() && pending.borders.is_empty());
        batches
    }

    #[test]
    fn borders_do_not_depend_on_where_works_begin() {
        // Every third is bad; some are so long that a batch ends though it is not full.
        let length = |index: usize| if index % 17 == 5 { MOST_BYTES as usize + 1 } else { 10 };
        let records: Vec<_> = (0..60).map(|index| (length(index), index % 3 != 2)).collect();
        let expected = batches(&records, &[1], 4);
        assert_eq!(expected.iter().sum::<usize>(), 40);
        assert!(expected.iter().any(|&batch| batch < 4) && expected.iter().all(|&batch| batch <= 4));
        for sizes in [&[60][..], &[7], &[2, 30, 1], &[25, 35]] {
            assert_eq!(batches(&records, sizes, 4), expected, "{sizes:?}");
        }
    }

    #[test]
    fn what_is_forgotten_leaves_the_rest_in_its_order() {
        let mut pending = Pending::new(Some(4));
        let from = |source: &str, rows: usize| {
            let mut work = work(&[]);
            let at = Position::default();
            work.records.reset(&source.into(), 0, at);
            for _ in 0..rows {
                work.records.push(b"{}", 2, at, at);
                work.entries.push(Entry::Row);
            }
            work
        };
        for (source, rows) in [("a", 1), ("b", 1), ("a", 1)] {
            pending.push(from(source, rows), |_, _| true);
        }
        assert_eq!(pending.batches(u64::MAX), None);
        let mut dropped = Vec::new();
        pending.forget(&["b".to_owned()], |_, _| true, &mut dropped);
        assert_eq!((dropped.len(), pending.works().len()), (1, 2));
        pending.push(from("a", 3), |_, _| true);
        let end = pending.batches(u64::MAX).unwrap();
        let rows: Vec<_> = pending.spans(end).into_iter().map(|span| span.rows).collect();
        assert_eq!(rows, [0..1, 0..1, 0..2]);
        let mut finished = Vec::new();
        pending.advance(end, &mut finished);
        assert_eq!((finished.len(), pending.works().len()), (2, 1));
    }
}

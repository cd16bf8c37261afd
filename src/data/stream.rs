//! Blocks of rows, read ahead by a thread in the order in which training takes them.

use super::{Dataset, Limit};
use crate::error::{Error, Result};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::thread::JoinHandle;

/// How many blocks wait to be used. With the block that is read, the one in use and the device's copy there are four at most.
const WAITING: usize = 1;

/// Which rows are read, and in what order.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub data: Dataset,
    /// The fields that are read.
    pub fields: Vec<usize>,
    /// Rows of a block; an epoch's last may have fewer.
    pub rows: usize,
    /// The seed of the order, if the rows are shuffled.
    pub shuffle: Option<u64>,
    /// The next epoch, and the next row of its order.
    pub epoch: u32,
    pub row: usize,
    /// Epochs that are left, the next one among them.
    pub epochs: usize,
    /// The ranges that every block's integers are checked for.
    pub limits: Vec<Limit>,
}

/// Rows of an epoch, in the order in which training takes them.
#[derive(Debug, Default)]
pub(crate) struct Block {
    /// Stored words, in the order of the plan's fields.
    pub words: Vec<Vec<u32>>,
    pub rows: usize,
    pub epoch: u32,
}

impl Plan {
    /// Reads the next block into the memory of a used one; none after the last epoch.
    fn read(&mut self, mut block: Block) -> Result<Option<Block>> {
        if self.epochs == 0 {
            return Ok(None);
        }
        let n = self.data.len();
        let end = n.min(self.row + self.rows.max(1));
        let order = self.data.order(self.shuffle, self.epoch)?;
        let own: Vec<u32> = (self.row as u32..end as u32).map(|at| order.own(at)).collect();
        let rows: Vec<u32> = own.iter().map(|&i| order.stored(i)).collect();
        block.words.resize_with(self.fields.len(), Vec::new);
        for (&field, words) in self.fields.iter().zip(&mut block.words) {
            words.resize(rows.len() * self.data.row_words(field), 0);
            self.data.read(field, &rows, words)?;
            for limit in self.limits.iter().filter(|l| l.field == field) {
                self.data.check_words(limit, words, |i| own[i] as usize)?;
            }
        }
        (block.rows, block.epoch) = (rows.len(), self.epoch);
        self.row = end;
        if end == n {
            (self.row, self.epoch, self.epochs) = (0, self.epoch.wrapping_add(1), self.epochs - 1);
        }
        Ok(Some(block))
    }

    /// Reads block after block until the last one or an error, or until the receiver is gone.
    fn run(mut self, full: &SyncSender<Result<Block>>, empty: &Receiver<Block>) {
        loop {
            let used = match empty.try_recv() {
                Ok(block) => block,
                Err(TryRecvError::Empty) => Block::default(),
                Err(TryRecvError::Disconnected) => return,
            };
            match self.read(used).transpose() {
                None => return,
                Some(block) => {
                    let failed = block.is_err();
                    if full.send(block).is_err() || failed {
                        return;
                    }
                }
            }
        }
    }
}

/// The blocks that a thread reads. Dropping this ends the thread after its current read.
#[derive(Debug)]
pub(crate) struct Blocks {
    full: Option<Receiver<Result<Block>>>,
    empty: Option<Sender<Block>>,
    thread: Option<JoinHandle<()>>,
    /// Where there are no threads a block is read when it is needed.
    here: Option<(Plan, Block)>,
}

impl Blocks {
    /// Starts to read.
    pub fn start(plan: Plan) -> Self {
        let (full, taken) = sync_channel(WAITING);
        let (back, empty) = channel();
        let own = plan.clone();
        match std::thread::Builder::new().name("gradus-data".into()).spawn(move || own.run(&full, &empty)) {
            Ok(thread) => Blocks { full: Some(taken), empty: Some(back), thread: Some(thread), here: None },
            Err(e) => {
                crate::terminal::warn!(problem = %e, "no thread to read ahead with: blocks are read when they are needed");
                Self::without_thread(plan)
            }
        }
    }

    fn without_thread(plan: Plan) -> Self {
        Blocks { full: None, empty: None, thread: None, here: Some((plan, Block::default())) }
    }

    /// The next block; none after the last one or an error.
    pub fn next(&mut self) -> Result<Option<Block>> {
        if let Some((plan, used)) = &mut self.here {
            return plan.read(std::mem::take(used));
        }
        match self.full.as_ref().map(Receiver::recv) {
            Some(Ok(block)) => block.map(Some),
            Some(Err(_)) | None => self.end().map(|()| None),
        }
    }

    /// Gives back a block whose words are no longer needed.
    pub fn give_back(&mut self, block: Block) {
        match (&mut self.here, &self.empty) {
            (Some((_, used)), _) => *used = block,
            // the thread may have ended, if it has read everything
            (None, Some(empty)) => drop(empty.send(block)),
            (None, None) => {}
        }
    }

    fn end(&mut self) -> Result<()> {
        (self.full, self.empty) = (None, None);
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(_)) => Err(Error::DataSource {
                field: "all".into(),
                problem: "the thread that reads ahead panicked".into(),
                at: "reading blocks of rows".into(),
            }),
            _ => Ok(()),
        }
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

#[cfg(test)]
mod tests;

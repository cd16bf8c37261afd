//! A driver's listing as blocks, and the hottest loop of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A straight run of instructions.
#[derive(Debug, Default, Clone)]
struct Block {
    instructions: usize,
    products: usize,
    /// Blocks that it may go to.
    next: Vec<usize>,
}

/// A listing as it is read, line after line.
#[derive(Debug)]
pub struct Listing<'a> {
    blocks: Vec<Block>,
    labels: HashMap<&'a str, usize>,
    jumps: Vec<(usize, &'a str)>,
}

/// What stands in a loop, or in a whole kernel that has none.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Body {
    /// Multiply-adds and matrix products among them.
    pub products: usize,
    /// All instructions.
    pub instructions: usize,
}

impl<'a> Listing<'a> {
    /// An empty one.
    pub fn new() -> Self {
        Listing { blocks: vec![Block::default()], labels: HashMap::new(), jumps: Vec::new() }
    }

    fn last(&mut self) -> (usize, &mut Block) {
        let at = self.blocks.len() - 1;
        (at, &mut self.blocks[at])
    }

    /// A block of this name begins; the one before it runs into it.
    pub fn label(&mut self, name: &'a str) {
        let (at, block) = self.last();
        block.next.push(at + 1);
        self.blocks.push(Block::default());
        self.labels.insert(name, at + 1);
    }

    /// An instruction.
    pub fn instruction(&mut self, product: bool) {
        let (_, block) = self.last();
        block.instructions += 1;
        block.products += usize::from(product);
    }

    /// A block ends and goes to one of these; or on, if it `falls` through.
    pub fn goes(&mut self, to: impl IntoIterator<Item = &'a str>, falls: bool) {
        let (at, block) = self.last();
        block.next.extend(falls.then_some(at + 1));
        self.blocks.push(Block::default());
        self.jumps.extend(to.into_iter().map(|name| (at, name)));
    }

    /// Of the innermost loops the one with the most products, else the longest; all of a kernel without a loop. `None` where nothing was read.
    pub fn hottest(mut self) -> Option<Body> {
        for (at, name) in std::mem::take(&mut self.jumps) {
            self.blocks[at].next.extend(self.labels.get(name));
        }
        self.blocks.push(Block::default()); // what the last one falls into
        let all = self.loops();
        let innermost = all.iter().filter(|a| !all.iter().any(|b| b.len() < a.len() && b.is_subset(a)));
        let whole = || self.body(0..self.blocks.len());
        let found = innermost.map(|l| self.body(l.iter().copied())).max().unwrap_or_else(whole);
        (found.instructions > 0).then_some(found)
    }

    fn body(&self, blocks: impl Iterator<Item = usize>) -> Body {
        blocks
            .map(|b| &self.blocks[b])
            .fold(Body::default(), |sum, b| Body { products: sum.products + b.products, instructions: sum.instructions + b.instructions })
    }

    /// The blocks of each loop: of every way back to a head, what leads there without passing the head. Compilers lay blocks out as they like.
    fn loops(&self) -> Vec<BTreeSet<usize>> {
        let mut before = vec![Vec::new(); self.blocks.len()];
        self.blocks.iter().enumerate().for_each(|(i, b)| b.next.iter().for_each(|&n| before[n].push(i)));
        let mut found: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for (from, head) in self.ways_back() {
            let body = found.entry(head).or_insert_with(|| BTreeSet::from([head]));
            let mut open = vec![from];
            while let Some(at) = open.pop() {
                if body.insert(at) {
                    open.extend(&before[at]);
                }
            }
        }
        found.into_values().collect()
    }

    /// Edges to a block that a walk from the first one is still inside of.
    fn ways_back(&self) -> Vec<(usize, usize)> {
        let (mut inside, mut seen, mut found) = (vec![false; self.blocks.len()], vec![false; self.blocks.len()], Vec::new());
        let mut walk = vec![(0, 0)];
        (inside[0], seen[0]) = (true, true);
        while let Some((from, edge)) = walk.last_mut() {
            let at = *from;
            let Some(&to) = self.blocks[at].next.get(*edge) else {
                inside[at] = false;
                walk.pop();
                continue;
            };
            *edge += 1;
            if inside[to] {
                found.push((at, to));
            } else if !seen[to] {
                (inside[to], seen[to]) = (true, true);
                walk.push((to, 0));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written as `head: body body -> targets`, an instruction a letter, `p` for a product; `..` falls through.
    fn hottest(text: &str) -> Option<(usize, usize)> {
        let mut listing = Listing::new();
        for line in text.lines() {
            let (name, rest) = line.trim().split_once(':').unwrap();
            let (body, to) = rest.split_once("->").unwrap_or((rest, ".."));
            listing.label(name);
            body.chars().filter(|c| *c != ' ').for_each(|c| listing.instruction(c == 'p'));
            listing.goes(to.split_whitespace().filter(|w| *w != ".."), to.contains(".."));
        }
        listing.hottest().map(|b| (b.products, b.instructions))
    }

    #[test]
    fn the_hottest_loop_is_found() {
        // no loop: all of it
        assert_eq!(hottest("a: xp -> .. \n b: x"), Some((1, 3)));
        // the one with products, not the longer one
        assert_eq!(hottest("a: x -> ..\n b: xxxx -> b ..\n c: pp -> c ..\n d: x"), Some((2, 2)));
        // the inner one, though the outer one has more
        assert_eq!(hottest("a: x -> ..\n b: pp -> ..\n c: p -> c ..\n d: pp -> b ..\n e: x"), Some((1, 1)));
        // with both sides of an `if`, and with what is laid out behind the end
        assert_eq!(hottest("a: p -> c ..\n b: x -> e\n c: xx -> e\n d: x -> \n e: x -> a d"), Some((1, 5)));
        // blocks that nothing leads to do no harm
        assert_eq!(hottest("a: x -> c\n b: ppp -> b\n c: p -> c .."), Some((1, 1)));
        assert_eq!(hottest("a: -> .."), None);
    }
}

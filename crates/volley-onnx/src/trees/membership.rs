//! A question for membership in a set, in the words of a [`Description`](super::Description): a chain of equalities.

use super::description::{Comparison, Split, TreeNode};

/// Whether a column holds one of some values, and what follows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Membership<'v> {
    pub(crate) feature: u32,
    pub(crate) members: &'v [f64],
    pub(crate) missing_is_yes: bool,
    pub(crate) yes: usize,
    pub(crate) no: usize,
}

impl Membership<'_> {
    /// Puts the question at `place` of `nodes`; what more it takes comes behind all other nodes.
    pub(crate) fn put(self, nodes: &mut Vec<TreeNode>, place: usize) {
        // NaN equals nothing: the set without members has none.
        let members = if self.members.is_empty() { &[f64::NAN] } else { self.members };
        let mut at = place;
        for (number, &member) in members.iter().enumerate() {
            let next = if number + 1 == members.len() { self.no } else { nodes.len() };
            nodes[at] = TreeNode::Split(self.equality(member, next));
            if next == nodes.len() {
                nodes.push(TreeNode::Leaf);
                at = next;
            }
        }
    }

    fn equality(self, member: f64, no: usize) -> Split {
        let Membership { feature, missing_is_yes, yes, .. } = self;
        Split { feature, comparison: Comparison::Equal, threshold: member, missing_is_yes, yes, no }
    }
}

//! A walk over parsed SQL that stops at inner queries: what one SELECT says itself, in its own scope.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Query, VisitMut, VisitorMut};

/// What is done at each step of a shallow walk.
pub(super) trait Shallow {
    /// An inner query, which is not walked into.
    fn query(&mut self, _: &mut Query) {}

    /// An expression, before its parts.
    fn enter(&mut self, _: &mut Expr) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// An expression, after its parts.
    fn leave(&mut self, _: &mut Expr) {}
}

/// Walks over `node` until `steps` breaks off, and says whether it did.
pub(super) fn walk<T: VisitMut>(node: &mut T, steps: &mut impl Shallow) -> bool {
    node.visit(&mut Walk { steps, depth: 0 }).is_break()
}

/// The same as a visitor, for nodes that are visited by other means.
pub(super) struct Walk<'a, S> {
    pub(super) steps: &'a mut S,
    pub(super) depth: usize,
}

impl<S: Shallow> VisitorMut for Walk<'_, S> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if self.depth == 0 {
            self.steps.query(query);
        }
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.depth == 0 { self.steps.enter(expr) } else { ControlFlow::Continue(()) }
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.depth == 0 {
            self.steps.leave(expr);
        }
        ControlFlow::Continue(())
    }
}

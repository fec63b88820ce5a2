//! Makes registered models a SQL function: pinned when planned, scored when executed, carried by our codec.
//!
//! The path of a call: [`sql`] gives it its plain form and its inputs, [`Pins`] fixes its model,
//! [`PredictRule`] binds it and moves it into a [`PredictNode`], [`PredictPlanner`] makes that a
//! [`PredictExec`], which scores with the models of a [`ModelHost`].

mod call;
pub mod codec;
mod error;
mod exec;
mod function;
mod host;
mod locations;
mod node;
mod options;
mod pins;
mod planner;
mod problem;
mod prune;
mod rejects;
mod rule;
mod shown;
pub mod sql;
mod top_rows;
mod written;

pub use call::BoundCall;
pub use error::PredictError;
pub use exec::{ExecCall, PredictExec};
pub use function::{BoundPredict, UnboundPredict, scores};
pub use host::{Loaded, LoadedModel, ModelHost, Scored};
pub use locations::{LOCATION_COLUMNS, carries_locations, location_fields};
pub use node::{NodeCall, PredictNode};
pub use options::PredictOptions;
pub use pins::Pins;
pub use planner::PredictPlanner;
pub use problem::{Place, Problem, Site, UnplacedProblem};
pub use prune::PruneCalls;
pub use rejects::{RejectBudget, ScoringSplit, rejects_schema};
pub use rule::PredictRule;
pub use shown::{ShownCall, shown_calls};
pub use top_rows::TopRowsFirst;

//! Turns a statement into pinned plans over predict and connect, and drives their splits in this process or by others.
//!
//! An [`Engine`] holds what a process has once: state, registry, models, stores. A [`Session`] holds tables,
//! views and settings, and runs statements: [`parse_script`] reads them, they are prepared (models pinned,
//! inputs filled in, planned), and then give rows or are written as a job that is published all at once or
//! not at all.

mod assembly;
mod checked;
mod codec;
mod driver;
mod engine;
mod error;
mod expire;
mod explain;
mod fit;
mod gate;
mod jobs;
mod located;
mod locks;
mod params;
mod patience;
mod prepare;
mod progress;
mod recovery;
mod registry;
mod rejecting;
mod request;
mod rescore;
mod resume;
mod running;
mod script;
mod session;
mod settings;
mod snapshot;
mod state;
mod system;
mod table_as;
mod verify;
mod views;
mod work_folder;
mod worker;
mod write;

pub use checked::Checked;
pub use codec::PlanCodec;
pub use driver::{Driver, Splits, Witness};
pub use engine::{Engine, Opened};
pub use error::EngineError;
pub use expire::{Forgotten, NotForgotten};
pub use jobs::JobStatus;
pub use params::{ParamValue, Params};
pub use patience::{Attempt, Patience};
pub use progress::{AtWork, Moment, Progress};
pub use recovery::Intent;
pub use request::{Filled, Script};
pub use rescore::{Draw, Rescored};
pub use resume::{Request, Run};
pub use running::{Stopper, Stopping};
pub use script::{Kind, ScriptStatement, is_complete, parse_script};
pub use session::{Answer, Output, Rows, Session};
pub use settings::EngineSettings;
pub use verify::{Difference, Verified};
pub use volley_commit::{Facts, JobId, Proof};
pub use volley_connect::{Budget, Connection, Environment, Places, Reach, SecretRef};
pub use volley_predict::{Place, Problem};
pub use worker::Worker;
pub use write::{ModelUse, Summary};

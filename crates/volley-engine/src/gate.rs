//! What statements of others may do, where they do not reach everywhere: checked on what they name before anything
//! is read, and on their logical plans before anything runs.
//!
//! Tables and destinations are checked where their paths become URLs, by [`Base`]; what is checked here is the rest,
//! and the tables once more.

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::listing::ListingTable;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{DdlStatement, LogicalPlan, Statement as PlanStatement, WriteOp};
use url::Url;
use volley_connect::{Base, Reach};
use volley_predict::Site;
use volley_registry::ModelRef;

use crate::error::EngineError;

/// Settings that concern the session's own statements and nothing that it shares with others.
const SETTINGS: [&str; 4] =
    ["datafusion.catalog.has_header", "datafusion.execution.time_zone", "volley.coercion", "volley.null_rules"];

/// Refuses models at locations that statements may not name. Errors: `local_path`, `location_not_allowed`.
pub(crate) fn check_models(sites: &[Site], base: &Base) -> Result<(), EngineError> {
    for site in sites {
        let Ok(ModelRef::Location(location)) = site.model.parse() else { continue };
        // The registry takes `file:x` for a URL too.
        let checked = match Url::parse(&location) {
            Ok(url) => base.check(&location, &url),
            Err(_) => base.url(&location).map(drop),
        };
        checked.map_err(|error| EngineError::at(error.code(), error.to_string(), Some(site.place)))?;
    }
    Ok(())
}

/// Refuses plans that do more than read open tables, write to open places, and change their own session.
///
/// Errors: `statement_not_allowed`, `setting_not_allowed`, `local_path`, `location_not_allowed`.
pub(crate) fn check(plan: &LogicalPlan, base: &Base) -> Result<(), EngineError> {
    if base.reach() == &Reach::Everywhere {
        return Ok(());
    }
    let mut refused = Ok(());
    let walked = plan.apply_with_subqueries(|node| {
        refused = check_node(node, base);
        Ok(if refused.is_ok() { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    walked.map_err(|error| EngineError::from_datafusion(&error, &[]))?;
    refused
}

fn check_node(node: &LogicalPlan, base: &Base) -> Result<(), EngineError> {
    match node {
        LogicalPlan::TableScan(scan) => {
            let Ok(provider) = source_as_provider(&scan.source) else {
                return Err(foreign("a table that is not ours"));
            };
            let Some(table) = provider.downcast_ref::<ListingTable>() else { return Ok(()) };
            for path in table.table_paths() {
                base.check(path.as_str(), path.get_url())?;
            }
            Ok(())
        }
        LogicalPlan::Copy(copy) => Ok(base.url(&copy.output_url).map(drop)?),
        LogicalPlan::Dml(dml) => match &dml.op {
            WriteOp::Insert(_) => Ok(()),
            other => Err(foreign(other.name())),
        },
        LogicalPlan::Ddl(ddl) => check_ddl(ddl, base),
        LogicalPlan::Statement(statement) => check_statement(statement),
        LogicalPlan::Extension(extension) => match extension.node.name() {
            "Predict" | "Write" => Ok(()),
            other => Err(foreign(other)),
        },
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Aggregate(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Join(_)
        | LogicalPlan::Repartition(_)
        | LogicalPlan::Union(_)
        | LogicalPlan::EmptyRelation(_)
        | LogicalPlan::Subquery(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Values(_)
        | LogicalPlan::Explain(_)
        | LogicalPlan::Analyze(_)
        | LogicalPlan::Distinct(_)
        | LogicalPlan::DescribeTable(_)
        | LogicalPlan::Unnest(_)
        | LogicalPlan::RecursiveQuery(_) => Ok(()),
    }
}

fn check_ddl(ddl: &DdlStatement, base: &Base) -> Result<(), EngineError> {
    match ddl {
        DdlStatement::CreateExternalTable(table) => {
            for location in &table.locations {
                base.url(location.split(['*', '?', '[']).next().unwrap_or_default())?;
            }
            Ok(())
        }
        DdlStatement::CreateMemoryTable(_)
        | DdlStatement::CreateView(_)
        | DdlStatement::DropTable(_)
        | DdlStatement::DropView(_) => Ok(()),
        other => Err(foreign(other.name())),
    }
}

fn check_statement(statement: &PlanStatement) -> Result<(), EngineError> {
    let name = match statement {
        PlanStatement::SetVariable(set) => &set.variable,
        PlanStatement::ResetVariable(reset) => &reset.variable,
        other => return Err(foreign(other.name())),
    };
    match SETTINGS.contains(&name.to_ascii_lowercase().as_str()) {
        true => Ok(()),
        false => {
            let message =
                format!("the setting `{name}` is the server's: its statements may set {}", SETTINGS.join(", "));
            Err(EngineError::new("setting_not_allowed", message))
        }
    }
}

fn foreign(what: &str) -> EngineError {
    let message = format!("{what} is no statement that this server runs: it reads tables, scores, and writes results");
    EngineError::new("statement_not_allowed", message)
}

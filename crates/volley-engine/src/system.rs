//! The schema `system`: what an engine knows, as tables. `system.models` lists the versions of the registry.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, BooleanBuilder, ListBuilder, RecordBatch, StringBuilder, UInt64Builder};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider, Session};
use datafusion::datasource::{MemTable, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use volley_registry::{Model, Registry};

use crate::error::EngineError;

pub(crate) const SCHEMA: &str = "system";
const MODELS: &str = "models";

/// Puts the tables into a context.
pub(crate) fn install(context: &SessionContext, registry: &Arc<Registry>) {
    let tables = MemorySchemaProvider::new();
    let models = Models { registry: registry.clone(), schema: schema() };
    tables.register_table(MODELS.to_owned(), Arc::new(models)).expect("the schema is empty");
    let catalog = context.state().config_options().catalog.default_catalog.clone();
    let catalog = context.catalog(&catalog).expect("a context has its default catalog");
    catalog.register_schema(SCHEMA, Arc::new(tables)).expect("a catalog in memory takes schemas");
}

/// `system.models`: a row a version.
#[derive(Debug)]
struct Models {
    registry: Arc<Registry>,
    schema: SchemaRef,
}

/// `name`, `version`, `latest` (whether it is the highest), `aliases` (those that point to it), `registry`.
fn schema() -> SchemaRef {
    let aliases = DataType::new_list(DataType::Utf8, true);
    Arc::new(Schema::new(vec![
        Field::new("name", DataType::Utf8, false),
        Field::new("version", DataType::UInt64, false),
        Field::new("latest", DataType::Boolean, false),
        Field::new("aliases", aliases, false),
        Field::new("registry", DataType::Utf8, false),
    ]))
}

#[async_trait]
impl TableProvider for Models {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    /// Asks the registry: the rows are those of the moment at which a statement is planned.
    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let models = self.registry.models().await;
        let models = models.map_err(|error| DataFusionError::External(Box::new(EngineError::from(error))))?;
        let rows = rows(&models, self.registry.url(), &self.schema)?;
        MemTable::try_new(self.schema.clone(), vec![vec![rows]])?.scan(session, projection, filters, limit).await
    }
}

fn rows(models: &[Model], registry: &str, schema: &SchemaRef) -> Result<RecordBatch> {
    let (mut names, mut registries) = (StringBuilder::new(), StringBuilder::new());
    let (mut versions, mut latest) = (UInt64Builder::new(), BooleanBuilder::new());
    let mut aliases = ListBuilder::new(StringBuilder::new());
    for model in models {
        for version in &model.versions {
            names.append_value(&model.name);
            versions.append_value(*version);
            latest.append_value(*version == model.latest);
            let pointing = model.aliases.iter().filter(|(_, target)| *target == version);
            pointing.for_each(|(alias, _)| aliases.values().append_value(alias));
            aliases.append(true);
            registries.append_value(registry);
        }
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(names.finish()),
        Arc::new(versions.finish()),
        Arc::new(latest.finish()),
        Arc::new(aliases.finish()),
        Arc::new(registries.finish()),
    ];
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}

//! The tables of one statement, looked up once: planning asks for them several times and must see the same.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::common::{ResolvedTableReference, Result, TableReference, not_impl_err};
use datafusion::execution::SessionState;
use datafusion::sql::parser::Statement;

use crate::views::resolve;

/// A catalog list that holds the tables of one statement and nothing else.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    tables: Arc<HashMap<ResolvedTableReference, Arc<dyn TableProvider>>>,
    /// The part that a catalog or schema of the list stands for.
    catalog: String,
    schema: String,
}

impl Snapshot {
    /// Looks every table of `statement` up in `state`, except `views`, which are planned already. What is not
    /// there is left out, for the planner to say.
    pub async fn of(
        statement: &Statement,
        state: &SessionState,
        views: HashMap<ResolvedTableReference, Arc<dyn TableProvider>>,
    ) -> Result<Self> {
        let mut tables = views;
        for reference in state.resolve_table_references(statement)? {
            let resolved = resolve(reference, state);
            if tables.contains_key(&resolved) {
                continue;
            }
            let Ok(schema) = state.schema_for_ref(resolved.clone()) else { continue };
            if let Some(table) = schema.table(&resolved.table).await? {
                tables.insert(resolved, table);
            }
        }
        Ok(Self { tables: Arc::new(tables), ..Self::default() })
    }

    fn at(&self, catalog: &str, schema: &str) -> Arc<Self> {
        Arc::new(Self { tables: self.tables.clone(), catalog: catalog.to_string(), schema: schema.to_string() })
    }
}

impl CatalogProviderList for Snapshot {
    fn register_catalog(&self, _: String, _: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        self.tables.keys().map(|table| table.catalog.to_string()).collect()
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        Some(self.at(name, ""))
    }
}

impl CatalogProvider for Snapshot {
    fn schema_names(&self) -> Vec<String> {
        self.tables.keys().map(|table| table.schema.to_string()).collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        Some(self.at(&self.catalog, name))
    }
}

#[async_trait]
impl SchemaProvider for Snapshot {
    fn table_names(&self) -> Vec<String> {
        self.tables.keys().map(|table| table.table.to_string()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let table = TableReference::full(self.catalog.as_str(), self.schema.as_str(), name);
        Ok(self.tables.get(&table.resolve("", "")).cloned())
    }

    fn register_table(&self, _: String, _: Arc<dyn TableProvider>) -> Result<Option<Arc<dyn TableProvider>>> {
        not_impl_err!("a snapshot of tables does not change")
    }

    fn table_exist(&self, name: &str) -> bool {
        let table = TableReference::full(self.catalog.as_str(), self.schema.as_str(), name);
        self.tables.contains_key(&table.resolve("", ""))
    }
}

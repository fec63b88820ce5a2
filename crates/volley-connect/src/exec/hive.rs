//! The rows of a split by the `name=value/` folders that they go to.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt64Array};
use datafusion::arrow::compute::{cast, partition};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::StreamExt;
use object_store::path::PathPart;

use super::columns::partition_columns;
use crate::error::ConnectError;
use crate::location::NULL_FOLDER;
use crate::write::WriteTarget;

/// What file systems take for one name.
const NAME_BYTES_MAX: usize = 255;

/// The partition columns of a write.
#[derive(Clone, Debug)]
pub(super) struct Folders {
    names: Vec<String>,
    /// Their places in the rows, outermost first.
    columns: Vec<usize>,
    rest: Vec<usize>,
}

impl Folders {
    /// `None` for a write without partition columns.
    pub(super) fn of(schema: &Schema, target: &WriteTarget) -> Result<Option<Self>> {
        let columns = partition_columns(schema, &target.partition_by)?;
        let rest = (0..schema.fields().len()).filter(|index| !columns.contains(index)).collect();
        let names = target.partition_by.clone();
        Ok((!columns.is_empty()).then_some(Self { names, columns, rest }))
    }

    /// The columns that stay in the files.
    pub(super) fn file_schema(&self, schema: &Schema) -> Result<SchemaRef> {
        Ok(Arc::new(schema.project(&self.rest)?))
    }

    /// The rows of one partition, those of one folder together and in the order in which they came. A file
    /// for each folder is then enough, however many values there are; sorting spills where memory ends.
    pub(super) fn rows_together(
        &self,
        input: Arc<dyn ExecutionPlan>,
        partition: usize,
        task: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let schema = input.schema();
        let rows = NumberedRows::new(input, partition, self.clone());
        let by = |index: usize| PhysicalSortExpr::new_default(Arc::new(Column::new("", index)));
        let places = self.columns.iter().copied().chain([schema.fields().len()]);
        let order = LexOrdering::new(places.map(by)).expect("a write with folders has a partition column");
        let numbered = rows.schema.clone();
        let source = StreamingTableExec::try_new(numbered, vec![Arc::new(rows)], None, [], false, None)?;
        let sorted = SortExec::new(order, Arc::new(source)).execute(0, task)?;
        let places: Vec<usize> = (0..schema.fields().len()).collect();
        let rows = sorted.map(move |batch| Ok(batch?.project(&places)?));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    /// Cuts rows that lie together into those of each folder, and drops the partition columns.
    pub(super) fn cut(&self, batch: &RecordBatch) -> Result<Vec<(String, RecordBatch)>> {
        let values: Vec<ArrayRef> = self.columns.iter().map(|index| batch.column(*index).clone()).collect();
        let rest = batch.project(&self.rest)?;
        let ranges = partition(&values)?.ranges().into_iter();
        ranges.map(|rows| Ok((self.path(&values, rows.start)?, rest.slice(rows.start, rows.len())))).collect()
    }

    /// `a=1/b=2`.
    fn path(&self, values: &[ArrayRef], row: usize) -> Result<String> {
        let folder = |(name, value): (&String, &ArrayRef)| {
            let text = cast(&value.slice(row, 1), &DataType::Utf8)?;
            let text = (!text.is_null(0)).then(|| text.as_string::<i32>().value(0));
            Ok(folder_name(name, text)?)
        };
        let folders: Vec<String> = self.names.iter().zip(values).map(folder).collect::<Result<_>>()?;
        Ok(folders.join("/"))
    }

    fn check_nulls(&self, batch: &RecordBatch) -> Result<(), ConnectError> {
        let mut columns = self.names.iter().zip(&self.columns);
        match columns.find(|(_, index)| batch.column(**index).logical_null_count() > 0) {
            Some((name, _)) => Err(ConnectError::NullPartition { column: name.clone() }),
            None => Ok(()),
        }
    }
}

/// Spelled as DataFusion would: it looks for a folder by the spelling that it would choose itself, and
/// would miss rows under any other.
fn folder_name(column: &str, value: Option<&str>) -> Result<String, ConnectError> {
    let Some(value) = value.filter(|value| *value != NULL_FOLDER) else {
        return Err(ConnectError::NullPartition { column: column.to_owned() });
    };
    let name = PathPart::from(format!("{column}={value}"));
    let name = format!("{column}={}", name.as_ref()[column.len() + 1..].replace(' ', "%20"));
    match name.len() {
        0..=NAME_BYTES_MAX => Ok(name),
        bytes => Err(ConnectError::FolderNameTooLong { column: column.to_owned(), bytes, bytes_max: NAME_BYTES_MAX }),
    }
}

/// One partition of a plan with the number of each row as the last column, since sorting alone would not
/// keep rows with equal values in their order.
struct NumberedRows {
    input: Arc<dyn ExecutionPlan>,
    partition: usize,
    folders: Folders,
    schema: SchemaRef,
}

impl NumberedRows {
    fn new(input: Arc<dyn ExecutionPlan>, partition: usize, folders: Folders) -> Self {
        let number = Arc::new(Field::new("volley.row", DataType::UInt64, false));
        let fields: Vec<_> = input.schema().fields().iter().cloned().chain([number]).collect();
        Self { input, partition, folders, schema: Arc::new(Schema::new(fields)) }
    }
}

impl fmt::Debug for NumberedRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NumberedRows").field("partition", &self.partition).finish_non_exhaustive()
    }
}

impl PartitionStream for NumberedRows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, task: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (schema, folders) = (self.schema.clone(), self.folders.clone());
        let rows = match self.input.execute(self.partition, task) {
            Ok(rows) => rows.boxed(),
            Err(error) => futures::stream::once(async { Err(error) }).boxed(),
        };
        let mut next = 0;
        let numbered = rows.map(move |batch| {
            let batch = batch?;
            folders.check_nulls(&batch)?;
            let numbers = UInt64Array::from_iter_values(next..next + batch.num_rows() as u64);
            next += batch.num_rows() as u64;
            let columns = batch.columns().iter().cloned().chain([Arc::new(numbers) as ArrayRef]).collect();
            Ok(RecordBatch::try_new(schema.clone(), columns)?)
        });
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), numbered))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use datafusion::arrow::array::{Int64Array, StringArray};
    use datafusion::arrow::datatypes::Int64Type;
    use datafusion::catalog::memory::MemorySourceConfig;
    use futures::TryStreamExt;
    use volley_commit::Mode;

    use super::*;
    use crate::format::Format;

    fn batch(regions: Vec<Option<&str>>, days: Vec<i64>) -> RecordBatch {
        let x = Int64Array::from_iter_values(0..days.len() as i64);
        let columns: [(&str, ArrayRef, bool); 3] = [
            ("region", Arc::new(StringArray::from(regions)), true),
            ("x", Arc::new(x), true),
            ("day", Arc::new(Int64Array::from(days)), true),
        ];
        RecordBatch::try_from_iter_with_nullable(columns).expect("a batch")
    }

    async fn routed(batch: RecordBatch, by: &[&str]) -> Result<Vec<(String, Vec<i64>)>> {
        let target = WriteTarget {
            destination: "memory:///out/".to_owned(),
            format: Format::Parquet,
            mode: Mode::Error,
            partition_by: by.iter().map(|name| (*name).to_owned()).collect(),
            options: BTreeMap::new(),
            rejects: None,
        };
        let folders = Folders::of(&batch.schema(), &target)?.expect("folders");
        let input = MemorySourceConfig::try_new_exec(&[vec![batch.clone()]], batch.schema(), None)?;
        let rows: Vec<_> = folders.rows_together(input, 0, Arc::default())?.try_collect().await?;
        let cut = rows.iter().map(|rows| folders.cut(rows)).collect::<Result<Vec<_>>>()?;
        let numbers = |rows: &RecordBatch| rows.column(0).as_primitive::<Int64Type>().values().to_vec();
        Ok(cut.concat().iter().map(|(folder, rows)| (folder.clone(), numbers(rows))).collect())
    }

    #[tokio::test]
    async fn rows_go_to_the_folders_of_their_values_in_order() {
        let batch = batch(vec![Some("a b"), Some("é/1"), Some("a b"), Some(""), Some("a b")], vec![2, 1, 1, 2, 2]);
        let seen = routed(batch, &["day", "region"]).await.expect("routed");
        let expected = [
            ("day=1/region=a%20b", vec![2]),
            ("day=1/region=%C3%A9%2F1", vec![1]),
            ("day=2/region=", vec![3]),
            ("day=2/region=a%20b", vec![0, 4]),
        ];
        assert_eq!(seen, expected.map(|(folder, rows)| (folder.to_owned(), rows)));
    }

    #[tokio::test]
    async fn values_that_cannot_name_folders_are_refused() {
        let check = async |value: Option<&str>, code: &str, part: &str| {
            let error = routed(batch(vec![Some("a"), value], vec![1, 1]), &["region"]).await.expect_err(part);
            let error = ConnectError::find(&error).expect("an error of ours");
            assert_eq!(error.code(), code);
            assert!(error.to_string().contains(part), "{error}");
        };
        check(None, "null_partition", "COALESCE(region, ").await;
        check(Some(NULL_FOLDER), "null_partition", "'region'").await;
        check(Some(&"x".repeat(249)), "folder_name_too_long", "of 256 bytes").await;
        check(Some(&"é".repeat(42)), "folder_name_too_long", "of 259 bytes").await;
        routed(batch(vec![Some(&"x".repeat(248))], vec![1]), &["region"]).await.expect("just short enough");
    }
}

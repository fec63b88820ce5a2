//! Which input of the graph, and which column of it, each input of the signature feeds.

mod keyed;

use volley_onnx::{Graph, Port};

use super::features;
use super::shape::Row;
use crate::coercion::composes;
use crate::signature::{Column, ColumnType, Specs, TensorSpec};
use crate::{Element, Input, InputType, ModelError, NullRule, Slot};

/// The contract's inputs. `open` are the graph's inputs that no parameter feeds; what a signature says of their
/// shape is added to `rows`.
pub(super) fn inputs(
    graph: &Graph,
    signature: Option<&Specs>,
    open: &[usize],
    rows: &mut [Row],
) -> Result<Vec<Input>, ModelError> {
    let ports = graph.inputs();
    let of_features = graph.features().map(|names| features::declarations(names, ports, signature)).transpose()?;
    let declarations = match (signature, of_features.flatten()) {
        (_, Some(declarations)) => declarations,
        (None, None) => {
            let of = |&tensor: &usize| match graph.keys(&ports[tensor].name) {
                Some(keys) => keyed::all(keys, &ports[tensor], tensor),
                None => vec![undeclared(&ports[tensor], tensor, &rows[tensor])],
            };
            open.iter().flat_map(of).collect()
        }
        (Some(Specs::Columns(columns)), None) => {
            let columns = Columns { columns, ports, open };
            match open.iter().any(|&tensor| graph.keys(&ports[tensor].name).is_some()) {
                true => keyed::declarations(graph, &columns, rows)?,
                false => columns.declarations(rows)?,
            }
        }
        (Some(Specs::Tensors(tensors)), None) => tensor_declarations(tensors, ports, open, rows)?,
    };
    declarations.into_iter().enumerate().map(|(index, declaration)| declaration.input(index, graph)).collect()
}

/// An input before it is checked against the graph's element.
pub(super) struct Declaration {
    pub(super) name: Option<String>,
    pub(super) declared: InputType,
    pub(super) required: bool,
    pub(super) slot: Slot,
}

impl Declaration {
    fn input(self, index: usize, graph: &Graph) -> Result<Input, ModelError> {
        let port = &graph.inputs()[self.slot.tensor];
        let tracked = port.element.is_float() && graph.tracks_missing(&port.name);
        let null_rule = match graph.keys(&port.name) {
            Some(_) => keyed::absent(port),
            None if tracked => NullRule::Nan,
            None => NullRule::Null,
        };
        let input = Input {
            name: self.name,
            declared: self.declared,
            element: port.element.into(),
            required: self.required,
            null_rule,
            slot: self.slot,
        };
        check_element(&input, index)?;
        Ok(input)
    }
}

fn check_element(input: &Input, index: usize) -> Result<(), ModelError> {
    let label = input.label(index);
    match input.declared.scalar() {
        InputType::Binary => {
            Err(ModelError::UnsupportedInput(format!("input {label} is declared binary, and no graph reads bytes")))
        }
        declared if !composes(declared, input.element) => Err(ModelError::SignatureMismatch(format!(
            "input {label} is declared {declared} and the graph reads {}",
            input.element
        ))),
        _ => Ok(()),
    }
}

/// Without a signature the graph's own inputs are the contract's.
fn undeclared(port: &Port, tensor: usize, row: &Row) -> Declaration {
    Declaration {
        name: Some(port.name.clone()),
        declared: of_width(Element::from(port.element).input_type(), row.width()),
        required: true,
        slot: Slot { tensor, offset: 0 },
    }
}

fn of_width(scalar: InputType, width: Option<usize>) -> InputType {
    match width {
        Some(1) => scalar,
        len => InputType::List { element: Box::new(scalar), len },
    }
}

fn tensor_declarations(
    specs: &[TensorSpec],
    ports: &[Port],
    open: &[usize],
    rows: &mut [Row],
) -> Result<Vec<Declaration>, ModelError> {
    if specs.len() != open.len() {
        return Err(mismatch(format!("it has {} tensors and the graph {} inputs", specs.len(), open.len())));
    }
    let names: Vec<_> = specs.iter().map(|spec| spec.name.as_deref()).collect();
    let tensors = match by_name(&names, ports, open) {
        Some(tensors) => tensors,
        None => {
            check_places(names.iter().copied().zip(open.iter().copied()), ports, open)?;
            open.to_vec()
        }
    };
    specs
        .iter()
        .zip(tensors)
        .map(|(spec, tensor)| tensor_declaration(spec, tensor, &ports[tensor], &mut rows[tensor]))
        .collect()
}

fn tensor_declaration(spec: &TensorSpec, tensor: usize, port: &Port, row: &mut Row) -> Result<Declaration, ModelError> {
    let element = spec.element.as_ref().map_err(|dtype| {
        ModelError::UnsupportedInput(format!(
            "the tensor of the graph's input `{}` is declared {dtype}, which no column gives",
            port.name
        ))
    })?;
    let [_, inner @ ..] = spec.shape.as_slice() else {
        return Err(mismatch(format!("the tensor of the graph's input `{}` has no dimension for rows", port.name)));
    };
    if !row.merge(inner) {
        return Err(mismatch(format!(
            "the tensor of the graph's input `{}` is declared with another shape",
            port.name
        )));
    }
    let declared = of_width(element.input_type(), row.width());
    Ok(Declaration { name: spec.name.clone(), declared, required: true, slot: Slot { tensor, offset: 0 } })
}

/// The graph's input for each name, if the names are exactly those of the graph's inputs.
fn by_name(names: &[Option<&str>], ports: &[Port], open: &[usize]) -> Option<Vec<usize>> {
    if names.len() != open.len() {
        return None;
    }
    let tensor = |name: &Option<&str>| open.iter().copied().find(|&tensor| Some(ports[tensor].name.as_str()) == *name);
    names.iter().map(tensor).collect()
}

/// In order, a name that the graph knows must stand at its own place: else the order is not the graph's, and
/// columns would silently go to the wrong inputs.
fn check_places<'a>(
    places: impl Iterator<Item = (Option<&'a str>, usize)>,
    ports: &[Port],
    open: &[usize],
) -> Result<(), ModelError> {
    for (name, tensor) in places {
        let namesake = open.iter().copied().find(|&other| Some(ports[other].name.as_str()) == name);
        if namesake.is_some_and(|namesake| namesake != tensor) {
            let name = name.unwrap_or_default();
            return Err(mismatch(format!(
                "`{name}` has the name of an input of the graph and stands in the place of `{}`; name all inputs as the graph does, or none",
                ports[tensor].name
            )));
        }
    }
    Ok(())
}

fn mismatch(reason: String) -> ModelError {
    ModelError::SignatureMismatch(reason)
}

/// A signature of columns over a graph.
struct Columns<'a> {
    columns: &'a [Column],
    ports: &'a [Port],
    open: &'a [usize],
}

impl Columns<'_> {
    fn declarations(&self, rows: &mut [Row]) -> Result<Vec<Declaration>, ModelError> {
        let names: Vec<_> = self.columns.iter().map(|column| column.name.as_deref()).collect();
        if let Some(tensors) = by_name(&names, self.ports, self.open) {
            let place = |(column, tensor): (usize, usize)| self.alone(column, tensor, rows);
            return tensors.into_iter().enumerate().map(place).collect();
        }
        let declarations = self.in_order(rows)?;
        let places = names.iter().copied().zip(declarations.iter().map(|declaration| declaration.slot.tensor));
        check_places(places, self.ports, self.open)?;
        Ok(declarations)
    }

    /// One column that feeds a whole input of the graph.
    fn alone(&self, column: usize, tensor: usize, rows: &mut [Row]) -> Result<Declaration, ModelError> {
        let spec = &self.columns[column];
        let declared = match scalar_or_items(spec, column)? {
            (scalar, false) => {
                if !rows[tensor].set_width(1) {
                    return Err(self.width_mismatch(tensor, 1, &rows[tensor]));
                }
                scalar
            }
            (items, true) => InputType::List { element: Box::new(items), len: rows[tensor].width() },
        };
        Ok(Declaration { name: spec.name.clone(), declared, required: spec.required, slot: Slot { tensor, offset: 0 } })
    }

    /// Each input of the graph takes as many columns as it is wide, or one array.
    fn in_order(&self, rows: &mut [Row]) -> Result<Vec<Declaration>, ModelError> {
        let mut declarations = Vec::new();
        for &tensor in self.open {
            let start = declarations.len();
            let width = self.columns_of(tensor, start, &rows[tensor])?;
            declarations.extend(self.side_by_side(start, width, tensor, rows)?);
        }
        if declarations.len() < self.columns.len() {
            return Err(self.count_mismatch(rows));
        }
        Ok(declarations)
    }

    /// How many of the columns from `start` on feed an input of the graph.
    fn columns_of(&self, tensor: usize, start: usize, row: &Row) -> Result<usize, ModelError> {
        let left = self.columns.len().saturating_sub(start);
        let array = self.columns.get(start).is_some_and(|column| matches!(column.data_type, ColumnType::Array(_)));
        match row.width() {
            _ if left == 0 => Err(self.count_mismatch_at(tensor, row)),
            _ if array => Ok(1),
            Some(width) if width > left => Err(self.count_mismatch_at(tensor, row)),
            Some(width) => Ok(width),
            // A lone input that leaves its width open takes all columns.
            None if self.open.len() == 1 => Ok(left),
            None => Ok(1),
        }
    }

    fn side_by_side(
        &self,
        start: usize,
        count: usize,
        tensor: usize,
        rows: &mut [Row],
    ) -> Result<Vec<Declaration>, ModelError> {
        if count == 1 {
            return Ok(vec![self.alone(start, tensor, rows)?]);
        }
        if !rows[tensor].set_width(count) {
            return Err(self.width_mismatch(tensor, count, &rows[tensor]));
        }
        (0..count).map(|offset| self.beside(start + offset, Slot { tensor, offset })).collect()
    }

    /// One column among those that feed an input of the graph together.
    fn beside(&self, column: usize, slot: Slot) -> Result<Declaration, ModelError> {
        let spec = &self.columns[column];
        match scalar_or_items(spec, column)? {
            (declared, false) => Ok(Declaration { name: spec.name.clone(), declared, required: spec.required, slot }),
            (_, true) => Err(mismatch(format!(
                "column {} is an array beside other columns of the graph's input `{}`",
                label(spec, column),
                self.ports[slot.tensor].name
            ))),
        }
    }

    fn width_mismatch(&self, tensor: usize, columns: usize, row: &Row) -> ModelError {
        let width = row.width().map_or("an open number of".to_owned(), |width| width.to_string());
        mismatch(format!(
            "{columns} of its columns feed the graph's input `{}`, which takes {width} values a row",
            self.ports[tensor].name
        ))
    }

    fn count_mismatch_at(&self, tensor: usize, row: &Row) -> ModelError {
        let width = row.width().map_or("more".to_owned(), |width| width.to_string());
        mismatch(format!(
            "it has {} columns, too few for the graph's input `{}`, which takes {width}",
            self.columns.len(),
            self.ports[tensor].name
        ))
    }

    fn count_mismatch(&self, rows: &[Row]) -> ModelError {
        let wanted: usize = self.open.iter().filter_map(|&tensor| rows[tensor].width()).sum();
        mismatch(format!("it has {} columns and the graph takes {wanted}", self.columns.len()))
    }
}

/// The type of a column, or of an array's items; whether it is an array.
pub(super) fn scalar_or_items(spec: &Column, index: usize) -> Result<(InputType, bool), ModelError> {
    match &spec.data_type {
        ColumnType::Scalar(scalar) => Ok((scalar.clone(), false)),
        ColumnType::Array(items) => match items.as_ref() {
            ColumnType::Scalar(scalar) => Ok((scalar.clone(), true)),
            _ => Err(unreadable(spec, index, "a nested array")),
        },
        ColumnType::Other(name) => Err(unreadable(spec, index, name)),
    }
}

fn unreadable(spec: &Column, index: usize, what: &str) -> ModelError {
    ModelError::UnsupportedInput(format!("input {} is declared {what}, which no graph reads", label(spec, index)))
}

fn label(spec: &Column, index: usize) -> String {
    match &spec.name {
        Some(name) => format!("`{name}`"),
        None => format!("number {}", index + 1),
    }
}

#[cfg(test)]
mod tests {
    use volley_onnx::Dim;

    use super::*;
    use crate::testing::list;

    fn port(name: &str, row: Option<&[Dim]>) -> Port {
        let shape = row.map(|row| std::iter::once(Dim::Free).chain(row.iter().copied()).collect());
        Port { name: name.to_owned(), element: volley_onnx::Element::F32, shape }
    }

    fn wide(name: &str, width: usize) -> Port {
        port(name, Some(&[Dim::Fixed(width)]))
    }

    fn column(name: &str) -> Column {
        Column { name: Some(name.to_owned()), data_type: ColumnType::Scalar(InputType::Float64), required: true }
    }

    fn array(name: &str) -> Column {
        let items = Box::new(ColumnType::Scalar(InputType::Float32));
        Column { data_type: ColumnType::Array(items), ..column(name) }
    }

    /// Where each column goes: `name: type at tensor.offset`.
    fn placed(ports: &[Port], columns: &[Column]) -> Result<Vec<String>, ModelError> {
        let mut rows: Vec<_> = ports.iter().map(Row::of).collect::<Result<_, _>>()?;
        let open: Vec<_> = (0..ports.len()).collect();
        let declarations = Columns { columns, ports, open: &open }.declarations(&mut rows)?;
        Ok(declarations.iter().map(shown).collect())
    }

    fn shown(declaration: &Declaration) -> String {
        let Declaration { name, declared, slot, .. } = declaration;
        format!("{}: {declared} at {}.{}", name.as_deref().unwrap_or("-"), slot.tensor, slot.offset)
    }

    fn refused(ports: &[Port], columns: &[Column]) -> String {
        let error = placed(ports, columns).expect_err("refused");
        assert_eq!(error.code(), "signature_mismatch");
        error.to_string()
    }

    #[test]
    fn columns_fill_one_matrix_in_order() {
        let expected = ["b: double at 0.0", "a: double at 0.1"];
        assert_eq!(placed(&[wide("x", 2)], &[column("b"), column("a")]).expect("placed"), expected);
        assert_eq!(placed(&[port("x", Some(&[Dim::Free]))], &[column("b"), column("a")]).expect("placed"), expected);
        assert_eq!(placed(&[port("x", None)], &[column("b"), column("a")]).expect("placed"), expected);
    }

    #[test]
    fn columns_go_by_name_where_the_graph_has_the_same_names() {
        assert_eq!(
            placed(&[wide("a", 1), port("b", Some(&[]))], &[column("b"), column("a")]).expect("placed"),
            ["b: double at 1.0", "a: double at 0.0"]
        );
    }

    #[test]
    fn columns_with_other_names_go_to_the_graph_s_inputs_in_order() {
        assert_eq!(
            placed(&[wide("i0", 1), wide("i1", 2)], &[column("a"), column("b"), column("c")]).expect("placed"),
            ["a: double at 0.0", "b: double at 1.0", "c: double at 1.1"]
        );
    }

    #[test]
    fn an_array_fills_a_whole_input() {
        assert_eq!(
            placed(&[wide("x", 3), wide("y", 1)], &[array("v"), column("c")]).expect("placed"),
            ["v: list<float>[3] at 0.0", "c: double at 1.0"]
        );
        assert_eq!(placed(&[port("x", Some(&[Dim::Free]))], &[array("v")]).expect("placed"), ["v: list<float> at 0.0"]);
    }

    #[test]
    fn a_name_of_the_graph_in_another_s_place_is_refused() {
        let message = refused(&[wide("a", 1), wide("b", 1)], &[column("b"), column("c")]);
        assert!(
            message.contains("`b` has the name of an input of the graph and stands in the place of `a`"),
            "{message}"
        );
    }

    #[test]
    fn a_signature_of_another_width_is_refused() {
        assert!(
            refused(&[wide("x", 5)], &[column("a"), column("b")])
                .contains("2 columns, too few for the graph's input `x`, which takes 5")
        );
        assert!(refused(&[wide("x", 1)], &[column("a"), column("b")]).contains("2 columns and the graph takes 1"));
        assert!(refused(&[wide("x", 2)], &[column("a"), array("b")]).contains("`b` is an array beside other columns"));
        assert!(refused(&[wide("x", 1), wide("y", 1)], &[column("a")]).contains("too few"));
    }

    fn tensor(name: Option<&str>, shape: &[Option<usize>]) -> TensorSpec {
        TensorSpec { name: name.map(str::to_owned), element: Ok(Element::F64), shape: shape.to_vec() }
    }

    fn tensors(ports: &[Port], specs: &[TensorSpec]) -> Result<Vec<String>, ModelError> {
        let mut rows: Vec<_> = ports.iter().map(Row::of).collect::<Result<_, _>>()?;
        let open: Vec<_> = (0..ports.len()).collect();
        Ok(tensor_declarations(specs, ports, &open, &mut rows)?.iter().map(shown).collect())
    }

    #[test]
    fn tensors_are_lists_or_scalars_by_their_shape() {
        let specs = [tensor(Some("y"), &[None, Some(4)]), tensor(Some("x"), &[None])];
        assert_eq!(
            tensors(&[wide("x", 1), wide("y", 4)], &specs).expect("placed"),
            ["y: list<double>[4] at 1.0", "x: double at 0.0"]
        );
        assert_eq!(
            tensors(&[port("x", None)], &[tensor(None, &[None, Some(2), Some(3)])]).expect("placed"),
            ["-: list<double>[6] at 0.0"]
        );
    }

    #[test]
    fn tensors_that_the_graph_does_not_take_are_refused() {
        let code = |specs: &[TensorSpec]| tensors(&[wide("x", 4)], specs).expect_err("refused").code();
        assert_eq!(code(&[tensor(None, &[None, Some(5)])]), "signature_mismatch");
        assert_eq!(code(&[tensor(None, &[])]), "signature_mismatch");
        assert_eq!(code(&[tensor(Some("x"), &[None]), tensor(Some("y"), &[None])]), "signature_mismatch");
        let unknown = TensorSpec { element: Err("datetime64[ns]".to_owned()), ..tensor(None, &[None, Some(4)]) };
        assert_eq!(code(&[unknown]), "unsupported_input");
    }

    #[test]
    fn without_a_signature_the_graph_s_inputs_are_lists_or_scalars() {
        let of = |port: Port| undeclared(&port, 0, &Row::of(&port).expect("a row")).declared;
        assert_eq!(of(wide("x", 4)), list(InputType::Float32, Some(4)));
        assert_eq!(of(wide("x", 1)), InputType::Float32);
        assert_eq!(of(port("x", Some(&[Dim::Free]))), list(InputType::Float32, None));
    }
}

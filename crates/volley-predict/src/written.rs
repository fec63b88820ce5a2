//! Reads an unbound call's arguments, and writes them much as the author of the statement did.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;

/// The text of a quoted literal.
pub(crate) fn literal_text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)), _) => Some(text),
        Expr::Alias(alias) => literal_text(&alias.expr),
        _ => None,
    }
}

/// The fields of a struct that is written out in place.
pub(crate) fn named_fields(expr: &Expr) -> Option<Vec<(&str, &Expr)>> {
    let Expr::ScalarFunction(call) = expr else { return None };
    if call.func.name() != "named_struct" {
        return None;
    }
    call.args.chunks_exact(2).map(|pair| Some((literal_text(&pair[0])?, &pair[1]))).collect()
}

/// A call in the form `predict('churn', {age: t.age})`, for names of columns and for messages: the planner's own
/// form shows how literals and structs are built. `input` writes an input.
pub(crate) fn written_call(function: &str, arguments: &[Expr], input: impl Fn(&Expr) -> String) -> String {
    let [model, params, inputs @ ..] = arguments else { return format!("{function}()") };
    let mut parts = vec![format!("'{}'", literal_text(model).unwrap_or_default())];
    for expr in inputs {
        parts.push(match named_fields(expr) {
            Some(fields) => {
                let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name}: {}", input(value))).collect();
                format!("{{{}}}", fields.join(", "))
            }
            None => input(expr),
        });
    }
    if let Some(params) = literal_text(params).filter(|params| *params != "{}") {
        parts.push(format!("params => {params}"));
    }
    format!("{function}({})", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use datafusion::functions::expr_fn::named_struct;
    use datafusion::logical_expr::{col, lit};

    use super::*;

    fn check(arguments: Vec<Expr>, expected: &str) {
        assert_eq!(written_call("predict", &arguments, ToString::to_string), expected);
    }

    #[test]
    fn a_call_reads_as_it_was_written() {
        check(vec![lit("m"), lit("{}"), col("t.a"), col("b")], "predict('m', t.a, b)");
        let fields = named_struct(vec![lit("a"), col("x.a"), lit("b"), col("x.b")]);
        check(vec![lit("m"), lit("{}"), fields], "predict('m', {a: x.a, b: x.b})");
        check(vec![lit("m"), lit(r#"{"t":1}"#), col("a")], r#"predict('m', a, params => {"t":1})"#);
    }
}

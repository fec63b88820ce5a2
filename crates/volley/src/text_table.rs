//! Text in aligned columns.

/// Two spaces between columns, as wide as their widest cell; the last column is not padded.
pub fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a".to_string(), "b".to_string()], ["long".to_string(), "c".to_string()]];
        assert_eq!(aligned(&rows), "a     b\nlong  c\n");
    }

    #[test]
    fn an_empty_table_is_empty() {
        assert_eq!(aligned::<3>(&[]), "");
    }
}

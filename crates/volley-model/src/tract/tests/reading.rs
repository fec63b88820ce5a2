//! Whether the rows of a table are those of the tensors made of the same feeds.

use volley_onnx::{Place, Rows, Words};

use super::*;

/// Asserts that a table reads what is in the tensors, if one can be made of the feeds.
pub(super) fn check(contract: &Contract, binding: &Binding, feeds: &[Feed], rows: usize, tensors: &[Tensor]) {
    let Some(table) = Table::new(contract, binding, feeds, rows) else { return };
    for (input, tensor) in tensors.iter().enumerate() {
        let width = tensor.len().checked_div(rows).unwrap_or(0);
        for at in 0..width {
            check_place(&table, Place { input, at }, width, tensor);
        }
    }
}

fn check_place(table: &Table, place: Place, width: usize, tensor: &Tensor) {
    let rows = table.count();
    // In two parts, as blocks are read.
    for rows in [0..rows / 2, rows / 2..rows] {
        let len = rows.len();
        let of = |row: usize| row * width + place.at;
        if let Some(expected) = tensor_values::<f32>(tensor) {
            let mut written = vec![7.0; len];
            let got = table.singles(place, rows.clone(), &mut written).map(<[f32]>::to_vec).unwrap_or(written);
            let expected = rows.map(|row| expected[of(row)].to_bits());
            assert!(got.iter().map(|value| value.to_bits()).eq(expected), "{place:?}");
        } else if let Some(expected) = tensor_values::<f64>(tensor) {
            let mut written = vec![7.0; len];
            let got = table.doubles(place, rows.clone(), &mut written).map(<[f64]>::to_vec).unwrap_or(written);
            let expected = rows.map(|row| expected[of(row)].to_bits());
            assert!(got.iter().map(|value| value.to_bits()).eq(expected), "{place:?}");
        } else if let Some(expected) = tensor_values::<String>(tensor) {
            check_texts(table, place, expected.iter().skip(place.at).step_by(width));
        } else {
            let expected = tensor.cast_to::<i64>().expect("integers");
            let expected = tensor_values::<i64>(&expected).expect("integers");
            let mut written = vec![7; len];
            let got = table.longs(place, rows.clone(), &mut written).map(<[i64]>::to_vec).unwrap_or(written);
            assert!(got.into_iter().eq(rows.map(|row| expected[of(row)])), "{place:?}");
        }
    }
}

fn check_texts<'t>(table: &Table, place: Place, expected: impl Iterator<Item = &'t String>) {
    let expected: Vec<&str> = expected.map(String::as_str).collect();
    // Every other text is known.
    let known = expected.iter().step_by(2).enumerate().map(|(code, text)| (*text, code as u32));
    let words = Words::new(known, 99);
    assert!(table.codes(place, &words).into_iter().eq(expected.into_iter().map(|text| words.code(text))), "{place:?}");
}

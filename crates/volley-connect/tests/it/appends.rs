//! What may be appended to what.

use crate::harness::House;

#[tokio::test]
async fn an_append_that_does_not_go_with_what_is_there_is_refused_before_it_begins() {
    let house = House::new();
    let copy = |select: &str, out: &str, rest: &str| format!("COPY ({select}) TO '{out}' STORED AS {rest}");
    let check = async |select: &str, out: &str, rest: &str, part: &str| {
        let before = (house.files(out), house.files("state"));
        let sql = copy(select, out, &format!("{rest} OPTIONS (mode 'append')"));
        let (code, message) = house.refused(&sql).await;
        assert_eq!(code, "append_mismatch", "{sql}: {message}");
        assert!(message.contains(part), "{sql}: {message}");
        assert!(message.contains(&format!("to '{}/':", house.path(out).display())), "{message}");
        assert!((house.files(out), house.files("state")) == before, "{sql}");
    };
    for format in ["PARQUET", "JSON", "ARROW"] {
        house.publish(&copy("SELECT 1 AS a, 'x' AS b, 7 AS k", format, format)).await;
        check("SELECT 'y' AS a, 'x' AS b, 7 AS k", format, format, "column 'a' is Int64 there, Utf8 in").await;
        check("SELECT 1 AS a, 7 AS k", format, format, "no column 'b', which the files there").await;
        check("SELECT 1 AS a, 'x' AS b, 7 AS k, 8 AS c", format, format, "no column 'c', which the result").await;
        check("SELECT 1 AS a, 'x' AS b, 7 AS k", format, &format!("{format} PARTITIONED BY (k)"), "by (k)").await;
        check("SELECT 1 AS a, 'x' AS b, 7 AS k", format, "CSV", "another format").await;
        let other_order = "SELECT 7 AS k, 1 AS a, 'x' AS b";
        if format == "ARROW" {
            check(other_order, format, format, "the columns there are (a, b, k), those of the result (k, a, b)").await;
            continue;
        }
        house.publish(&copy(other_order, format, &format!("{format} OPTIONS (mode 'append')"))).await;
        assert_eq!(house.number(&format!("SELECT sum(k) FROM '{format}/'")).await, 14);
    }
    house.publish(&copy("SELECT 1 AS a, 'x' AS b", "csv", "CSV")).await;
    check("SELECT 'x' AS b, 1 AS a", "csv", "CSV", "the columns there are (a, b)").await;
    house.publish(&copy("SELECT 'z' AS a, 'x' AS b", "csv", "CSV OPTIONS (mode 'append')")).await;
    house.write_text("foreign/a.csv", "a,b\n1,2\n");
    check("SELECT 1 AS a", "foreign", "PARQUET", "another format").await;
}

#[tokio::test]
async fn a_result_can_be_appended_to_its_like_whatever_its_types() {
    let house = House::new();
    let types = "arrow_cast(1, 'Int8') AS a, arrow_cast(1, 'UInt64') AS b, arrow_cast(1, 'Float16') AS c,
        arrow_cast(1, 'Decimal128(10, 2)') AS d, arrow_cast('x', 'LargeUtf8') AS e, arrow_cast('x', 'Utf8View') AS f,
        arrow_cast('x', 'Dictionary(Int32, Utf8)') AS g, arrow_cast(0, 'Timestamp(Second, None)') AS h,
        arrow_cast(0, 'Timestamp(Nanosecond, Some(\"UTC\"))') AS i, DATE '2026-11-22' AS j, true AS k,
        named_struct('x', [1], 'y', 'z') AS l, NULL AS m, arrow_cast(0, 'Time64(Microsecond)') AS n,
        arrow_cast('x', 'Binary') AS o, ['a', NULL] AS p, map(['a'], [1]) AS q";
    for format in ["PARQUET", "ARROW", "JSON"] {
        for expected in [1, 2] {
            let sql = format!("COPY (SELECT {types}) TO '{format}' STORED AS {format} OPTIONS (mode 'append')");
            house.publish(&sql).await;
            assert_eq!(house.number(&format!("SELECT count(*) FROM '{format}/'")).await, expected);
        }
    }
}

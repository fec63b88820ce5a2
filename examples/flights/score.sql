-- How likely is each flight that left New York in January 2013 to arrive more than 15 minutes late?
--
--     cargo run --release -- run examples/flights/score.sql
--
-- The model's inputs are the columns of `departure`, by name.
COPY (
    WITH departure AS (
        SELECT
            f.year, f.month, f.day, f.carrier, f.flight, f.origin, f.dest, f.sched_dep_time, f.distance,
            date_part('dow', make_date(f.year, f.month, f.day)) AS weekday,
            w.temp, w.dewp, w.humid, w.wind_speed, w.wind_gust, w.precip, w.pressure, w.visib,
            p.year AS plane_year, p.seats
        FROM 'examples/flights/data/flights_2013_01.parquet' f
        LEFT JOIN 'examples/flights/data/weather.parquet' w
            ON w.origin = f.origin AND w.time_hour = f.time_hour
        LEFT JOIN 'examples/flights/data/planes.parquet' p
            ON p.tailnum = f.tailnum
    )
    SELECT
        year, month, day, carrier, flight, origin, dest, sched_dep_time,
        predict_proba('flights')['late'] AS late_probability
    FROM departure
)
TO 'examples/flights/out/scores/'
STORED AS PARQUET
OPTIONS (mode 'overwrite');

-- Who will be late? Scores the flights that the guide puts into the bucket; on the server of docker-compose.yml:
--
--     docker compose run --rm cli run jobs/flights.sql --cluster https://server:8080
COPY (
    SELECT carrier, origin, dest, sched_dep_time, predict_proba('flights')['late'] AS late_probability
    FROM 's3://lake/flights/'
)
TO 's3://lake/scores/'
STORED AS PARQUET
OPTIONS (mode 'overwrite');

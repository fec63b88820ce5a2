-- Statements that a server refuses to everybody, one a line. @CANARY is a file beside the folder of a connection, @OPEN
-- is that folder, @PORT a port of this machine that somebody listens at, and @OUT a folder that must not appear.

-- Files of the machine, read.
SELECT * FROM '/etc/passwd'
SELECT * FROM '/etc/passwd.csv'
SELECT * FROM '@CANARY'
SELECT * FROM "@CANARY"
SELECT * FROM 'file://@CANARY'
SELECT * FROM 'FILE://@CANARY'
SELECT * FROM 'file:@CANARY'
SELECT * FROM 'file://localhost@CANARY'
SELECT * FROM '//@CANARY'
SELECT * FROM '@OPEN/../canary.csv'
SELECT * FROM '@OPEN/./../canary.csv'
SELECT * FROM '@OPEN//../canary.csv'
SELECT * FROM '@OPEN/inner/../../canary.csv'
SELECT * FROM 'file://@OPEN/../canary.csv'
SELECT * FROM 'file://@OPEN/%2e%2e/canary.csv'
SELECT * FROM 'file://@OPEN/.%2e/canary.csv'
SELECT * FROM 'file://@OPEN/..%2fcanary.csv'
SELECT * FROM 'file://@OPEN/%2e%2e%2fcanary.csv'
SELECT * FROM '@OPEN/%2e%2e/canary.csv'
SELECT * FROM '@OPEN/..\canary.csv'
SELECT * FROM '@OPEN/link.csv'
SELECT * FROM '@OPEN/linked/canary.csv'
SELECT * FROM '@OPEN/linked/'
SELECT * FROM '@OPEN/linked/*.csv'
SELECT * FROM '@OPEN/*/canary.csv'
SELECT * FROM '@OPEN/.hidden/secret.csv'
SELECT * FROM '@OPEN/.hidden.csv'
SELECT * FROM '@OPEN/../*.csv'
SELECT * FROM '/**/canary.csv'
SELECT * FROM '/*'
SELECT * FROM '/'
SELECT * FROM '~/canary.csv'
SELECT * FROM 'canary.csv'
SELECT * FROM './canary.csv'
SELECT * FROM '../canary.csv'
SELECT * FROM '.'
SELECT * FROM './'
SELECT * FROM '..'
SELECT * FROM '*.csv'
SELECT * FROM '.volley/state/'
SELECT * FROM '.volley/state/server/index.sqlite'
SELECT * FROM '.volley/state/server/requests/*.json'
SELECT * FROM '/proc/self/environ'
SELECT * FROM '/proc/self/environ.csv'
SELECT * FROM '/proc/self/fd/0.csv'
SELECT * FROM '/dev/zero.csv'
SELECT * FROM '/dev/stdin'
SELECT count(*) FROM '@CANARY'
SELECT a.* FROM '@CANARY' a JOIN '@CANARY' b USING (secret)
SELECT 1 WHERE EXISTS (SELECT * FROM '@CANARY')
SELECT 1 WHERE 1 IN (SELECT secret FROM '@CANARY')
SELECT (SELECT max(secret) FROM '@CANARY')
SELECT 1 ORDER BY (SELECT max(secret) FROM '@CANARY')
SELECT CASE WHEN true THEN (SELECT max(secret) FROM '@CANARY') END
SELECT count(*) FILTER (WHERE EXISTS (SELECT 1 FROM '@CANARY')) FROM (VALUES (1)) t(a)
WITH c AS (SELECT * FROM '@CANARY') SELECT * FROM c
WITH RECURSIVE c AS (SELECT secret FROM '@CANARY' UNION ALL SELECT secret FROM c WHERE false) SELECT * FROM c
SELECT 1 UNION ALL SELECT secret FROM '@CANARY'
SELECT 1 EXCEPT SELECT secret FROM '@CANARY'
SELECT 1 INTERSECT SELECT secret FROM '@CANARY'
SELECT * FROM (VALUES (1)) t(a), LATERAL (SELECT * FROM '@CANARY') s
SELECT * FROM (SELECT * FROM (SELECT * FROM '@CANARY'))
VALUES ((SELECT max(secret) FROM '@CANARY'))
TABLE '@CANARY'
DESCRIBE '@CANARY'
SHOW COLUMNS FROM '@CANARY'
EXPLAIN SELECT * FROM '@CANARY'
EXPLAIN VERBOSE SELECT * FROM '@CANARY'
EXPLAIN ANALYZE SELECT * FROM '@CANARY'
EXPLAIN FORMAT TREE SELECT * FROM '@CANARY'
CREATE VIEW v AS SELECT * FROM '@CANARY'; SELECT * FROM v
CREATE TABLE t AS SELECT * FROM '@CANARY'; SELECT * FROM t
CREATE VIEW v AS SELECT predict('flights') FROM '@CANARY'; SELECT * FROM v
CREATE TEMPORARY VIEW v AS SELECT * FROM '@CANARY'; SELECT * FROM v
COPY (SELECT * FROM '@CANARY') TO '@OPEN/stolen/' STORED AS CSV
COPY '@CANARY' TO '@OPEN/stolen/' STORED AS CSV
EXPLAIN COPY (SELECT * FROM '@CANARY') TO '@OPEN/stolen/' STORED AS CSV

-- Files of the machine, declared as tables.
CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '@CANARY'; SELECT * FROM t
CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'file://@CANARY'; SELECT * FROM t
CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd' OPTIONS ('format.has_header' 'false'); SELECT * FROM t
CREATE EXTERNAL TABLE t (secret VARCHAR) STORED AS CSV LOCATION '@CANARY'; SELECT * FROM t
CREATE EXTERNAL TABLE t (secret VARCHAR) STORED AS CSV LOCATION '/etc/'; SELECT * FROM t
CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '@OPEN/../canary.csv'; SELECT * FROM t
CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '@OPEN/link.csv'; SELECT * FROM t
CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '@OPEN/linked/'; SELECT * FROM t
CREATE EXTERNAL TABLE t STORED AS JSON LOCATION '@CANARY'; SELECT * FROM t
CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '@CANARY'; SELECT * FROM t
CREATE EXTERNAL TABLE t STORED AS ARROW LOCATION '@CANARY'; SELECT * FROM t
CREATE EXTERNAL TABLE t STORED AS AVRO LOCATION '@CANARY'; SELECT * FROM t
CREATE EXTERNAL TABLE IF NOT EXISTS t STORED AS CSV LOCATION '@CANARY'; SELECT * FROM t
CREATE OR REPLACE EXTERNAL TABLE t STORED AS CSV LOCATION '@CANARY'; SELECT * FROM t
CREATE UNBOUNDED EXTERNAL TABLE t (secret VARCHAR) STORED AS CSV LOCATION '@CANARY'; SELECT * FROM t
CREATE EXTERNAL TABLE t STORED AS CSV PARTITIONED BY (d) LOCATION '/tmp/'; SELECT * FROM t
CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/*'; SELECT * FROM t
CREATE EXTERNAL TABLE t (secret VARCHAR) STORED AS CSV LOCATION '/proc/self/'; SELECT * FROM t
CREATE EXTERNAL TABLE t STORED AS CSV COMPRESSION TYPE GZIP LOCATION '@CANARY'; SELECT * FROM t

-- Files of the machine, written.
COPY (SELECT 1 AS a) TO '@OUT/' STORED AS CSV
COPY (SELECT 1 AS a) TO '@OUT' STORED AS PARQUET
COPY (SELECT 1 AS a) TO '@OUT/' STORED AS JSON
COPY (SELECT 1 AS a) TO '@OUT/' STORED AS ARROW
COPY (SELECT 1 AS a) TO 'file://@OUT/' STORED AS CSV
COPY (SELECT 1 AS a) TO '@OPEN/../out/' STORED AS CSV
COPY (SELECT 1 AS a) TO '@OPEN/x/../../out/' STORED AS CSV
COPY (SELECT 1 AS a) TO 'file://@OPEN/%2e%2e/out/' STORED AS CSV
COPY (SELECT 1 AS a) TO '@OPEN/linked/out/' STORED AS CSV
COPY (SELECT 1 AS a) TO '@OPEN/.hidden/out/' STORED AS CSV
COPY (SELECT 1 AS a) TO 'out/' STORED AS CSV
COPY (SELECT 1 AS a) TO '../out/' STORED AS CSV
COPY (SELECT 1 AS a) TO '.volley/state/out/' STORED AS CSV
COPY (SELECT 1 AS a) TO '.volley/registry/out/' STORED AS CSV
COPY (SELECT 1 AS a) TO '/tmp/.volley-staging/out/' STORED AS CSV
COPY (SELECT 1 AS a) TO '@OUT/' STORED AS CSV PARTITIONED BY (a)
COPY (SELECT 1 AS a) TO '@OUT/' STORED AS CSV OPTIONS (mode 'overwrite')
COPY (SELECT 1 AS a) TO '@OUT/' STORED AS CSV OPTIONS (mode 'append')
COPY (SELECT 1 AS a) TO '@OUT.csv'
COPY (SELECT 1 AS a) TO '@CANARY' STORED AS CSV OPTIONS (mode 'overwrite')
COPY (SELECT 1 AS a) TO '@OPEN/fine/' STORED AS CSV OPTIONS (rejects '@OUT/')
COPY (SELECT 1 AS a) TO '@OPEN/fine/' STORED AS CSV OPTIONS (rejects '../out/')
COPY (SELECT 1 AS a) TO '@OPEN/fine/' STORED AS CSV OPTIONS (rejects 'file://@OUT/')
EXPLAIN COPY (SELECT 1 AS a) TO '@OUT/' STORED AS CSV
EXPLAIN ANALYZE COPY (SELECT 1 AS a) TO '@OPEN/out/' STORED AS CSV
CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '@OUT/' AS SELECT 1 AS a
CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '@OPEN/../out/' AS SELECT 1 AS a
CREATE EXTERNAL TABLE t (a BIGINT) STORED AS CSV LOCATION '@OUT/'; INSERT INTO t SELECT 1
CREATE EXTERNAL TABLE t (a BIGINT) STORED AS CSV LOCATION '@OPEN/linked/out/'; INSERT INTO t SELECT 1
CREATE EXTERNAL TABLE t (a BIGINT) STORED AS CSV LOCATION '../out/'; INSERT OVERWRITE t SELECT 1
INSERT INTO '@CANARY' SELECT 'x'
INSERT OVERWRITE "@CANARY" SELECT 'x'

-- Addresses, asked.
SELECT * FROM 'http://127.0.0.1:@PORT/x.csv'
SELECT * FROM 'http://localhost:@PORT/x.csv'
SELECT * FROM 'http://[::1]:@PORT/x.csv'
SELECT * FROM 'http://127.1:@PORT/x.csv'
SELECT * FROM 'http://0x7f000001:@PORT/x.csv'
SELECT * FROM 'http://2130706433:@PORT/x.csv'
SELECT * FROM 'http://0177.0.0.1:@PORT/x.csv'
SELECT * FROM 'http://0.0.0.0:@PORT/x.csv'
SELECT * FROM 'http://0:@PORT/x.csv'
SELECT * FROM 'http://[::ffff:127.0.0.1]:@PORT/x.csv'
SELECT * FROM 'https://127.0.0.1:@PORT/x.csv'
SELECT * FROM 'HTTP://127.0.0.1:@PORT/x.csv'
SELECT * FROM 'http://user:password@127.0.0.1:@PORT/x.csv'
SELECT * FROM 'http://127.0.0.1:@PORT/x.csv?a=b'
SELECT * FROM 'http://127.0.0.1:@PORT/*.csv'
SELECT * FROM 'http://127.0.0.1:@PORT/folder/'
SELECT * FROM 'http://169.254.169.254/latest/meta-data/iam/security-credentials/x.csv'
SELECT * FROM 'http://0xa9fea9fe/latest/x.csv'
SELECT * FROM 'http://2852039166/latest/x.csv'
SELECT * FROM 'http://[::ffff:a9fe:a9fe]/latest/x.csv'
SELECT * FROM 'http://[fd00:ec2::254]/latest/x.csv'
SELECT * FROM 'http://[fe80::1]/x.csv'
SELECT * FROM 'http://100.100.100.200/latest/x.csv'
SELECT * FROM 'http://metadata.google.internal/computeMetadata/v1/x.csv'
SELECT * FROM 's3://127.0.0.1:@PORT/x.csv'
SELECT * FROM 's3://bucket/x.csv'
SELECT * FROM 's3a://bucket/x.csv'
SELECT * FROM 'gs://bucket/x.csv'
SELECT * FROM 'az://container/x.csv'
SELECT * FROM 'abfss://container@account.dfs.core.windows.net/x.csv'
SELECT * FROM 'hdfs://127.0.0.1:@PORT/x.csv'
SELECT * FROM 'ftp://127.0.0.1:@PORT/x.csv'
SELECT * FROM 'memory://x.csv'
SELECT * FROM 'data://text/x.csv'
CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'http://127.0.0.1:@PORT/x.csv'; SELECT * FROM t
CREATE EXTERNAL TABLE t (a BIGINT) STORED AS CSV LOCATION 'http://127.0.0.1:@PORT/'; SELECT * FROM t
CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 's3://bucket/x/' OPTIONS ('aws.endpoint' 'http://127.0.0.1:@PORT'); SELECT * FROM t
CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 's3://bucket/x/' OPTIONS ('aws.access_key_id' 'k', 'aws.secret_access_key' 's'); SELECT * FROM t
COPY (SELECT 1 AS a) TO 'http://127.0.0.1:@PORT/out/' STORED AS CSV
COPY (SELECT 1 AS a) TO 's3://bucket/out/' STORED AS CSV
COPY (SELECT 1 AS a) TO 's3://bucket/out/' STORED AS CSV OPTIONS ('aws.endpoint' 'http://127.0.0.1:@PORT')
COPY (SELECT 1 AS a) TO '@OPEN/fine/' STORED AS CSV OPTIONS (rejects 's3://bucket/out/')

-- Models from places.
SELECT predict('/etc/passwd', 1)
SELECT predict('@CANARY', 1)
SELECT predict('file://@CANARY', 1)
SELECT predict('file:@CANARY', 1)
SELECT predict('./canary.onnx', 1)
SELECT predict('../canary.onnx', 1)
SELECT predict('canary.onnx', 1)
SELECT predict('@OPEN/../canary.onnx', 1)
SELECT predict('@OPEN/linked/canary.onnx', 1)
SELECT predict_proba('/proc/self/environ', 1)
SELECT predict_label('.volley/registry/x.onnx', 1)
SELECT predict('http://127.0.0.1:@PORT/m.onnx', 1)
SELECT predict('s3://bucket/m.onnx', 1)
SELECT predict('models:/../../canary/1', 1)
SELECT predict('runs:/x/../../canary', 1)
SELECT predict('mlflow-artifacts:/../canary', 1)
SELECT predict('../../canary/1', 1)
CREATE VIEW v AS SELECT predict('@CANARY', 1) AS p; SELECT * FROM v
EXPLAIN SELECT predict('@CANARY', 1)

-- Settings of the server.
SET datafusion.runtime.temp_directory = '@OUT'
SET datafusion.runtime.memory_limit = '100T'
SET datafusion.runtime.max_temp_directory_size = '100T'
SET datafusion.execution.target_partitions = 100000
SET datafusion.execution.batch_size = 1
SET datafusion.catalog.location = '/etc/'
SET datafusion.catalog.format = 'CSV'
SET datafusion.catalog.information_schema = false
SET datafusion.execution.parquet.pushdown_filters = true
SET datafusion.optimizer.max_passes = 1000000
SET s3.endpoint = 'http://127.0.0.1:@PORT'
SET aws.endpoint = 'http://127.0.0.1:@PORT'
SET fs.s3a.endpoint = 'http://127.0.0.1:@PORT'
SET no.such.setting = 1
RESET datafusion.runtime.memory_limit
RESET datafusion.execution.target_partitions

-- Statements of other kinds.
PREPARE p AS SELECT * FROM '@CANARY'
PREPARE p AS COPY (SELECT 1 AS a) TO '@OUT/' STORED AS CSV
EXECUTE p
DEALLOCATE p
CREATE FUNCTION f(BIGINT) RETURNS BIGINT RETURN $1 + 1
CREATE FUNCTION f() RETURNS VARCHAR LANGUAGE python AS 'import os'
DROP FUNCTION predict
CREATE DATABASE d
CREATE SCHEMA s
DROP SCHEMA public CASCADE
CREATE INDEX i ON t (a)
DELETE FROM t
UPDATE t SET a = 1
TRUNCATE TABLE t
MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE
ALTER TABLE t ADD COLUMN a BIGINT
BEGIN
COMMIT
ROLLBACK
START TRANSACTION
LOAD 'httpfs'
INSTALL httpfs
ATTACH '@CANARY' AS c
USE d
GRANT ALL ON t TO PUBLIC
KILL 1
ANALYZE TABLE t COMPUTE STATISTICS
CALL system.exit()
LOAD DATA INPATH '@CANARY' INTO TABLE t
COPY t FROM '@CANARY'
COPY t TO PROGRAM 'id'
UNLOAD (SELECT 1) TO '@OUT/'
SELECT * INTO OUTFILE '@OUT' FROM t

-- Functions that others have.
SELECT * FROM read_csv('@CANARY')
SELECT * FROM read_parquet('@CANARY')
SELECT * FROM read_text('@CANARY')
SELECT * FROM parquet_metadata('@CANARY')
SELECT * FROM glob('/*')
SELECT * FROM file('@CANARY')
SELECT * FROM url('http://127.0.0.1:@PORT/x.csv')
SELECT * FROM s3('http://127.0.0.1:@PORT/x.csv')
SELECT pg_read_file('@CANARY')
SELECT load_file('@CANARY')
SELECT getenv('PATH')
SELECT sys_exec('id')
SELECT http_get('http://127.0.0.1:@PORT/')

-- More than one.
SELECT 1; SELECT * FROM '@CANARY'
SET volley.coercion = 'strict'; SELECT * FROM '@CANARY'
SELECT 1 AS a; SELECT * FROM '@CANARY'
SELECT 1 /* ' */ FROM '@CANARY' /* ' */

"""The table and the file that the measured handlers write to."""

#: The environment variable with the path of the file to which `bench.moment` writes start times.
MOMENTS = "BENCH_MOMENTS"
TABLE = """
CREATE TABLE bench_row (
    record_id varchar(18) PRIMARY KEY,
    entry_id bigint NOT NULL,
    change_type varchar(20) NOT NULL,
    phone text
)
"""

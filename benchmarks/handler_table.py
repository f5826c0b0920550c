"""What the measured handlers write to."""

#: The variable with the file where `bench.moment` writes when it began.
MOMENTS = "BENCH_MOMENTS"
TABLE = """
CREATE TABLE bench_row (
    record_id varchar(18) PRIMARY KEY,
    entry_id bigint NOT NULL,
    change_type varchar(20) NOT NULL,
    phone text
)
"""

"""What the measured handlers write to."""

TABLE = """
CREATE TABLE bench_row (
    record_id varchar(18) PRIMARY KEY,
    entry_id bigint NOT NULL,
    change_type varchar(20) NOT NULL,
    phone text
)
"""

"""Working with the database: which errors pass, and how work is tried again after one."""

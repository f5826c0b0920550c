"""Operations on mappings: defaults, pause and resume, change of handler, deletion."""

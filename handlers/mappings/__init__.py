"""Operations on mappings: pause and resume, change of handler, deletion."""

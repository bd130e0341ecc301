"""What happens to a record: level, filters, transformers, presenter, outputs."""

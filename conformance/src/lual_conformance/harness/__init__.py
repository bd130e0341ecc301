"""What checks are made of: time, outputs, queues and processes that they control."""

"""The threads backend of lual: one worker thread drains the queue."""

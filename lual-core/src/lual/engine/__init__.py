"""The engine in front of the backends; see `lual.engine.writer`."""

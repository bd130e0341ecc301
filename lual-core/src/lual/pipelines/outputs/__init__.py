"""Outputs: where the text of records goes."""

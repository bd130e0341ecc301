"""Backends that keep the contract, each built in another way."""

"""The self-test: backends that are broken on purpose, and what the rules say of them."""

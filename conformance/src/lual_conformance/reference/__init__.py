"""Perfect backends, built from scratch: what a check must never find fault with."""

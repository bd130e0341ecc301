"""The rules, one module for each chapter; `lual_conformance.registry` knows them all."""

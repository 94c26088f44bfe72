"""Modules that the handlers share: schedule rules, run ledger, manifests, config API client, settings, errors."""

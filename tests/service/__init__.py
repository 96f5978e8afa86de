"""Tests of the service: configuration, fold, worker, HTTP, metrics, webhooks, page, command line."""

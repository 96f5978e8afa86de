"""The service: configuration, the monitor fold, the worker, HTTP, metrics, alerts, the page, the command line."""

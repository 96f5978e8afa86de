"""The rules, the dashboard and the alerts, held against a real Prometheus and Alertmanager."""

"""Programs for those who work on Anchorwatch: set-up and checks. Nothing here is installed."""

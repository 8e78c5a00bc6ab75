"""Asking for a sync over HTTP, and how it goes on. The sync itself is Dagster's: this room decides, launches and looks."""

"""The public functions for labels that exist."""

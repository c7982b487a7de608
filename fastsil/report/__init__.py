"""Records as tables, sentences and pictures; imports no other package of fastsil."""

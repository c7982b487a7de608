"""Records as tables, sentences, pictures and pages; imports no other package of fastsil."""

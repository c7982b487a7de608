"""Records as tables, sentences and pictures; knows no other package of ours."""

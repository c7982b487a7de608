"""Threads, progress, memory, first imports, atomic files, and private names of scikit-learn."""

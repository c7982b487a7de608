"""What runs everywhere: threads, progress, memory, first imports, atomic files, names of scikit-learn."""

"""The kinds of scenes: each has its look, its parts and its moves."""

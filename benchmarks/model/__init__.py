"""What the core does with a model: reading, batching, compiling, wrapping, inverting, analysing.

What drags, sketches and stores make of it have rooms of their own. Read ``extract.py`` first.
"""

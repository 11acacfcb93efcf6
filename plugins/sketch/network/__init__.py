"""The sketch network: which maps of a model it reads, aggregation in two levels, the decoder.

Nothing here reads a picture or trains. Read ``sketch_network.py`` first.
"""

"""What is trained: the stock networks of a recipe, and the loss of each.

One file for each network. The loop that trains them is in ``training.loop``. Read ``models.py``
first.
"""

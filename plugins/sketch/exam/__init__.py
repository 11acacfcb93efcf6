"""What an evaluation on a data set does picture by picture, and the tables that runs end in.

Read ``contenders.py``, then ``dataset_table.py``. What lies on disk is the business of
``datasets/``, what a figure is that of ``metrics/``.
"""

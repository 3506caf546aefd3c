"""What is built from generations: requirements, sampling, tools, generative functions.

Knows generations and backends; does not know where they are scheduled.
"""

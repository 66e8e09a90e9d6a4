"""From the outbox stream to every durable store, and the checks that all of them hold the same.

    Redis outbox --> DuckDB log --> Django tables
          |              '--------> ClickHouse
          '--> reconcile (writes back into Redis and the outbox)

Each follower has its own position, fails on its own, and may be run twice at once or killed anywhere.
"""

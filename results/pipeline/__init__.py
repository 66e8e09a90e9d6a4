"""From the outbox stream to every durable store, and the checks that all of them hold the same.

    Redis outbox --> DuckDB log --> Django tables
       ^  |              '--------> ClickHouse
       |  '--> reconcile/
       '--- foreign/, relay, rebuild

In this folder is the way of an entry; `verify/` and `invariants/` check what came of it, `keep/` says how long
it stays. Each follower has its own position, fails on its own, and may be run twice at once or killed anywhere.
"""

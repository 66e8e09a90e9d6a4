"""The embedded ClickHouse: chdb, the real engine, in a process of its own behind ClickHouse's HTTP interface.

    python -m results.stores.embedded --data DIR --port PORT

It listens on 127.0.0.1 only, prints `ready` when it serves, ends cleanly on SIGTERM or SIGINT, and exits with status 2
and one sentence when the port or the directory is taken. With EMBEDDED_CLICKHOUSE_PASSWORD set, it asks for it.
The same clickhouse-connect client talks to this and to a real server; nothing here imports Django.

- `statements`  where an INSERT's head ends and its bytes begin
- `forms`       statements and parameters that come as a form
- `encodings`   bodies in gzip, deflate, lz4 or zstd
- `failures`    ClickHouse's error codes and the HTTP status of each
- `engine`      chdb: one connection for each request, so that settings never leak from one to the next
- `replies`     whole answers and streams, and an error in the middle of one
- `interface`   the ASGI application

Invariants: an INSERT begins only when its whole body has arrived (a cut connection inserts nothing); a body is held in
memory up to a bound, then in a file; an acknowledged INSERT is on disk (fsync) and there after kill -9.
Left out of ClickHouse's interface: sessions (an id is ignored), external data (refused), progress headers.
"""

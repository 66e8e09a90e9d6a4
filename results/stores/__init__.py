"""The durable stores: DuckDB (`gate`, `duck`), ClickHouse (`clickhouse`, `embedded`), and their one `schema`."""

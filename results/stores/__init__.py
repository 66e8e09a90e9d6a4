"""The durable stores of results: DuckDB (`gate`, `duck`), ClickHouse (`clickhouse`, `embedded`) and their one `schema`."""

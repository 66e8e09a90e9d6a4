HSET result:123e4567-e89b-12d3-a456-426614174000 \
    trade_id "456e1234-e89b-12d3-a456-426614174123" \
    symbol "EURUSD" \
    direction "buy" \
    lot_size 1.5 \
    execution_price 1.12340 \
    requested_price 1.12345 \
    slippage -0.00005 \
    pnl 75.0 \
    commission 1.5 \
    fees 0.5 \
    state "executed" \
    executed_at "2025-03-22T10:16:00Z"

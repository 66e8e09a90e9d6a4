HSET reconciliation:123e4567-e89b-12d3-a456-426614174000 \
    reconciliation_status "failed" \
    discrepancy -0.00010 \
    rejection_reason "Slippage too high" \
    reconciled_at "2025-03-22T10:17:00Z"

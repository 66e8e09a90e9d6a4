"""The pure part of trading: values, rules and arithmetic. Standard library and msgspec only."""

"""The nouns: versioned, JSON-able, with no torch behind them."""

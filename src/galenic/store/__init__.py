"""The store: content-addressed stages, atomic files, locks and the ledger of test-set reads."""

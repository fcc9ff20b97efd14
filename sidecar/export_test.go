package sidecar

// Diagnose is diagnose, for the tests of engines' signatures.
func Diagnose(e *Engine, log, fallback string) *Failure { return diagnose(e, log, fallback) }

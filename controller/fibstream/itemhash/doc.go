// Package itemhash computes the prefix and group items of
// docs/decisions/0003-identities-and-digests.md from what travels in the FIB
// stream. It is written apart from the projector, from the decision alone, so
// that a data plane simulated in Go checks the projector as the C++ one does.
package itemhash

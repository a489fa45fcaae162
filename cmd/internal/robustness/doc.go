// Package robustness puts a cluster of nodes under load and faults, and checks
// from outside that it kept its promises.
//
// A Campaign runs nodes in network namespaces with addresses of their own on a
// bridge, callers that record what they asked and what they were told, and one
// fault after the other, alone and combined, drawn from a seed that is printed.
// Afterwards four independent judges look at what was recorded:
//
//   - Linearizable: the history of every item (a route's destination, a key) is
//     checked with porcupine against a model of a register with versions,
//     preconditions and idempotency keys. A call without an answer may take
//     effect at any later time, or never.
//   - CheckCalls: every acknowledged change is in the log exactly once, at the
//     revision that was answered; nothing that was refused is in it, nothing that
//     nobody asked for; acknowledgements and reads keep to real time; whatever a
//     read showed at a revision is what the log up to there says.
//   - the Archive: every node's stored bytes form one chain of hashes over dense
//     revisions, the same on all nodes.
//   - CheckDigests: at every revision that a node was seen at, its state's digest
//     is that of a replay of the log; so is every data plane's.
//
// A node of a campaign is the package's test binary itself in another role, so
// that its clock can be made to jump (RunNode). The judges are tested on
// histories made by hand, and against mutants: nodes that are broken on purpose.
package robustness

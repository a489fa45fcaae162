// Package peer makes the nodes of a cluster one: a write on any node is
// forwarded to the one that appends, data planes connected to any node count
// in every answer, and every node knows where the others are.
//
// An Exchange holds a link to every other node. Its Appender and DataPlanes
// stand where those of the node alone would: above them nothing knows that
// there are several nodes. Who appends is a hint (Leadership); what keeps two
// appenders apart is the guard of the log's head alone, so a wrong hint costs
// time and nothing else.
package peer

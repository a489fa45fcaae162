// Package observe turns what data planes see of their interfaces and next hops
// into link.observed events. It maps them to the links of their router, dampens
// what flaps, and has the node that the data plane is connected to append what
// differs from the log. A first failure is appended at once.
//
// The decisions are pure: time, states and the log come in. One goroutine, Run's,
// appends.
package observe

// Package doctor looks at a machine as a node would find it, and says what to
// do. What is looked at is read by thin probes; what follows from it is decided
// by functions of what was read.
package doctor

// Package e2e holds the end-to-end tests: they run the real binaries of bin/
// (make build) as an operator would and look at them from outside, through
// HTTP, the data planes' own gRPC service, and etcd.
package e2e

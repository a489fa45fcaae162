// Package client speaks DVR's HTTP API with fail-over: a call goes to one
// endpoint after the other, under one idempotency key, until a node answers.
package client
